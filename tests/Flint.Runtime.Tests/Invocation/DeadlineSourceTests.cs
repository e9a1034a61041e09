using Flint.Runtime.Invocation;
using Flint.TestKit.Time;

namespace Flint.Runtime.Tests.Invocation;

public sealed class DeadlineSourceTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void The_deadline_fires_and_is_remembered()
    {
        using var source = new DeadlineSource(_time);
        var fired = 0;
        source.Arm(TimeSpan.FromSeconds(1), default, default, default, () => fired++);
        _time.Advance(1000);
        source.Token.IsCancellationRequested.ShouldBeTrue();
        source.Disarm().ShouldBe(StopCause.Deadline);
        fired.ShouldBe(1);
        source.TryReset().ShouldBeFalse();
    }

    [Fact]
    public void The_first_cause_wins()
    {
        using var source = new DeadlineSource(_time);
        using var caller = new CancellationTokenSource();
        using var aborting = new CancellationTokenSource();
        source.Arm(TimeSpan.FromSeconds(1), caller.Token, aborting.Token, default);
        caller.Cancel();
        aborting.Cancel();
        _time.Advance(1000);
        source.Disarm().ShouldBe(StopCause.Caller);
    }

    [Fact]
    public void Nothing_fires_after_disarming_and_it_can_be_used_again()
    {
        using var source = new DeadlineSource(_time);
        using var caller = new CancellationTokenSource();
        source.Arm(TimeSpan.FromSeconds(1), caller.Token, default, default);
        source.Disarm().ShouldBe(StopCause.None);
        caller.Cancel();
        _time.Advance(5000);
        source.TryReset().ShouldBeTrue();
        source.Token.IsCancellationRequested.ShouldBeFalse();

        source.Arm(TimeSpan.FromSeconds(1), default, default, default);
        _time.Advance(999);
        source.Token.IsCancellationRequested.ShouldBeFalse();
        _time.Advance(1);
        source.Disarm().ShouldBe(StopCause.Deadline);
    }

    [Fact]
    public void A_token_that_has_fired_before_fires_at_once()
    {
        using var source = new DeadlineSource(_time);
        source.Arm(TimeSpan.FromSeconds(1), default, new CancellationToken(true), default);
        source.Token.IsCancellationRequested.ShouldBeTrue();
        source.Disarm().ShouldBe(StopCause.Shutdown);
    }

    [Fact]
    public async Task Firing_and_disarming_at_the_same_moment_agree()
    {
        for (var round = 0; round < 2000; round++)
        {
            using var source = new DeadlineSource(TimeProvider.System);
            using var caller = new CancellationTokenSource();
            source.Arm(Timeout.InfiniteTimeSpan, caller.Token, default, default);
            var cancel = Task.Run(caller.Cancel);
            var cause = source.Disarm();
            await cancel;
            source.Token.IsCancellationRequested.ShouldBe(cause == StopCause.Caller);
        }
    }

    [Fact]
    public async Task The_real_clock_fires_no_earlier_than_the_deadline()
    {
        using var source = new DeadlineSource(TimeProvider.System);
        var began = TimeProvider.System.GetTimestamp();
        source.Arm(TimeSpan.FromMilliseconds(30), default, default, default);
        await Should.ThrowAsync<OperationCanceledException>(Task.Delay(20_000, source.Token));
        TimeProvider.System.GetElapsedTime(began).ShouldBeGreaterThanOrEqualTo(TimeSpan.FromMilliseconds(30));
    }
}
