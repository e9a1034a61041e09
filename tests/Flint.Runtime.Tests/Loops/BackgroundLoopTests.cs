using Flint.Runtime.Loops;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Runtime.Tests.Loops;

public sealed class BackgroundLoopTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task A_loop_runs_at_start_and_then_by_its_period()
    {
        using var loop = new TestLoop(_time, TimeSpan.FromSeconds(10));
        await loop.StartAsync(default);
        await loop.Ran.WaitAsync();

        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(11));
        loop.Ran.IsSet.ShouldBeFalse();
        _time.Advance(TimeSpan.FromSeconds(11));
        await loop.Ran.WaitAsync();
        await loop.StopAsync(default);

        loop.State.Runs.ShouldBe(2);
        loop.State.LastError.ShouldBeNull();
    }

    [Fact]
    public async Task A_loop_without_a_period_runs_only_when_woken()
    {
        using var loop = new TestLoop(_time, Timeout.InfiniteTimeSpan);
        await loop.StartAsync(default);
        await loop.Ran.WaitAsync();

        loop.Wake();
        await loop.Ran.WaitAsync();
        await loop.StopAsync(default);
        loop.State.Runs.ShouldBe(2);
    }

    [Fact]
    public async Task Wake_ups_during_a_run_lead_to_one_more_run()
    {
        var gate = new TestSignal();
        using var loop = new TestLoop(_time, Timeout.InfiniteTimeSpan) { Work = async _ => await gate.WaitAsync() };
        await loop.StartAsync(default);
        await loop.Began.WaitAsync();
        loop.Wake();
        loop.Wake();
        gate.Set();
        await loop.Began.WaitAsync();
        gate.Set();
        await loop.Ran.WaitAsync();
        await loop.Ran.WaitAsync();
        await loop.StopAsync(default);

        loop.State.Runs.ShouldBe(2);
    }

    [Fact]
    public async Task A_failed_run_is_recorded_and_the_loop_goes_on()
    {
        var runs = 0;
        using var loop = new TestLoop(_time, TimeSpan.FromSeconds(1))
        {
            Work = _ => ++runs == 1 ? throw new InvalidOperationException("first") : Task.CompletedTask,
        };
        await loop.StartAsync(default);
        await Eventually.True(() => loop.State.Failures == 1, "the failure is recorded");
        loop.State.LastError.ShouldBe("first");

        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(2));
        _time.Advance(TimeSpan.FromSeconds(2));
        await loop.Ran.WaitAsync();
        await loop.StopAsync(default);
        loop.State.LastError.ShouldBeNull();
        loop.State.Failures.ShouldBe(1);
    }

    [Fact]
    public async Task A_woken_only_loop_retries_a_failed_run()
    {
        var runs = 0;
        using var loop = new TestLoop(_time, Timeout.InfiniteTimeSpan)
        {
            Work = _ => ++runs == 1 ? throw new InvalidOperationException("first") : Task.CompletedTask,
        };
        await loop.StartAsync(default);
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(2));
        _time.Advance(TimeSpan.FromSeconds(2));
        await loop.Ran.WaitAsync();
        await loop.StopAsync(default);
    }

    [Fact]
    public async Task Stop_lets_a_run_finish_and_aborts_it_when_its_token_fires()
    {
        var sawAbort = new TestSignal();
        using var loop = new TestLoop(_time, Timeout.InfiniteTimeSpan)
        {
            Work = async token =>
            {
                try
                {
                    await Task.Delay(Timeout.Infinite, token);
                }
                finally
                {
                    sawAbort.Set();
                }
            },
        };
        await loop.StartAsync(default);
        await loop.Began.WaitAsync();
        using var giveUp = new CancellationTokenSource();
        var stop = loop.StopAsync(giveUp.Token);
        stop.IsCompleted.ShouldBeFalse();
        sawAbort.IsSet.ShouldBeFalse();
        await giveUp.CancelAsync();
        await stop;
        await sawAbort.WaitAsync();
    }

    [Fact]
    public async Task Start_and_stop_in_any_order_never_hang()
    {
        for (var round = 0; round < 200; round++)
        {
            using var loop = new TestLoop(TimeProvider.System, TimeSpan.FromMilliseconds(1));
            var starts = Task.WhenAll(loop.StartAsync(default), loop.StartAsync(default));
            await Task.WhenAll(starts, loop.StopAsync(default), loop.StopAsync(default)).WaitAsync(TimeSpan.FromSeconds(20));
            await loop.StopAsync(default).WaitAsync(TimeSpan.FromSeconds(20));
        }
    }

    private sealed class TestLoop(TimeProvider time, TimeSpan period) : BackgroundLoop("test", period, time, NullLogger.Instance)
    {
        public TestSignal Began { get; } = new();
        public TestSignal Ran { get; } = new();
        public Func<CancellationToken, Task> Work { get; init; } = _ => Task.CompletedTask;

        public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
        {
            Began.Set();
            await Work(cancellationToken);
            Ran.Set();
            return new LoopRun(1);
        }
    }
}
