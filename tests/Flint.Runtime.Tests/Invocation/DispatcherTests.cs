using System.Text;
using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;

namespace Flint.Runtime.Tests.Invocation;

public sealed class DispatcherTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_result_comes_back_and_the_sandbox_stays_warm()
    {
        await using var plane = new Plane();
        var cold = await plane.InvokeAsync();
        var warm = await plane.InvokeAsync();

        cold.Status.ShouldBe(InvocationStatus.Completed);
        Encoding.UTF8.GetString(cold.Result.Span).ShouldBe("{\"n\":1}");
        (cold.ColdStart, warm.ColdStart).ShouldBe((true, false));
        cold.InitDuration.ShouldNotBeNull();
        warm.InitDuration.ShouldBeNull();
        warm.SandboxId.ShouldBe(cold.SandboxId);
        warm.Error.ShouldBeNull();
        warm.PeakMemoryBytes.ShouldBe(20 << 20);
        plane.Engine.Created.ShouldBe(1);
        plane.Pools.Statistics().Idle.ShouldBe(1);
    }

    [Fact]
    public async Task The_log_reads_start_user_lines_end_report()
    {
        await using var plane = new Plane(script: new FakeScript
        {
            OnEvent = async e =>
            {
                await e.LogAsync("hello");
                e.WriteRaw("raw without end");
                return FakeAnswer.Json("null");
            },
        });
        var request = Plane.Request();
        var outcome = await plane.Dispatcher.DispatchAsync(request, default, default);

        outcome.Log.Lines.Select(line => line.Text).Take(4).ShouldBe(
            [$"START RequestId: {request.Id} Version: $LATEST", "hello", "raw without end", $"END RequestId: {request.Id}"], ignoreOrder: false);
        outcome.Log.Lines[^1].Text.ShouldMatch(
            $@"^REPORT RequestId: {request.Id}\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: 20 MB\tInit Duration: \d+\.\d\d ms\t$");
        outcome.Log.Lines.Where(line => line.Stream == LogStream.Platform).Count().ShouldBe(3);
    }

    [Fact]
    public async Task A_function_error_is_an_outcome_and_the_sandbox_stays_warm()
    {
        await using var plane = new Plane(script: FakeScript.Answering(new FakeAnswer.Error("Unhandled", "KeyError", "'id'")));
        var outcome = await plane.InvokeAsync();

        outcome.Status.ShouldBe(InvocationStatus.Failed);
        outcome.Error!.Type.ShouldBe(FaultType.Unhandled);
        outcome.Error.Name.ShouldBe("KeyError");
        outcome.Result.IsEmpty.ShouldBeTrue();
        outcome.Log.Lines[^1].Text.ShouldContain("Status: error\tError Type: Unhandled");
        plane.Pools.Statistics().Idle.ShouldBe(1);
    }

    [Fact]
    public async Task A_timeout_kills_the_sandbox_and_the_next_invocation_works()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time, script: new FakeScript
        {
            OnEvent = e => ValueTask.FromResult<FakeAnswer>(e.Sandbox.Id == "fake-1" ? new FakeAnswer.Hang() : new FakeAnswer.Result(e.Payload)),
        });
        var invoke = plane.InvokeAsync();
        await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.Events == 1, "the guest has the event");
        time.Advance(2999);
        invoke.IsCompleted.ShouldBeFalse();
        time.Advance(1);
        var outcome = await invoke.WaitAsync(Bound);

        outcome.Error!.Type.ShouldBe(FaultType.TimedOut);
        outcome.Error.Message.ShouldBe("Task timed out after 3.00 seconds");
        outcome.Duration.ShouldBe(TimeSpan.FromSeconds(3));
        outcome.BilledMs.ShouldBe(3000);
        outcome.Log.Lines.ShouldContain(line => line.Text.EndsWith("Task timed out after 3.00 seconds", StringComparison.Ordinal));
        outcome.Log.Lines[^1].Text.ShouldContain("Status: timeout");
        await Eventually.True(() => plane.Engine.Live == 0, "the sandbox is gone");
        (await plane.InvokeAsync()).Status.ShouldBe(InvocationStatus.Completed);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task The_deadline_that_the_guest_sees_is_the_timeout_from_now()
    {
        var time = new ManualTimeProvider();
        long seen = 0;
        await using var plane = new Plane(time, script: new FakeScript
        {
            OnEvent = e =>
            {
                seen = e.DeadlineMs;
                return ValueTask.FromResult(FakeAnswer.Json("1"));
            },
        });
        await plane.InvokeAsync();
        seen.ShouldBe(time.GetUtcNow().ToUnixTimeMilliseconds() + 3000);
    }

    public static TheoryData<FakeAnswer, FaultType> Ends => new()
    {
        { new FakeAnswer.Exit(1), FaultType.ExitedEarly },
        { new FakeAnswer.Exit(0), FaultType.ExitedEarly },
        { new FakeAnswer.OutOfMemory(), FaultType.OutOfMemory },
        { new FakeAnswer.Lost(), FaultType.SandboxLost },
        { new FakeAnswer.CloseChannel(), FaultType.ExitedEarly },
        { new FakeAnswer.ExitHoldingChannel(7), FaultType.ExitedEarly },
        { new FakeAnswer.Raw([1, 0x85, 0, 0, 16, 0, 0, 0, .. new byte[16]]), FaultType.ProtocolViolation },
        { new FakeAnswer.Raw([0xff, 0, 0, 0, 0, 0, 0, 0]), FaultType.ProtocolViolation },
        { new FakeAnswer.Raw([1, 0x85, 0, 0, 0, 0, 0, 0x7f]), FaultType.ResponseTooLarge },
    };

    [Theory]
    [MemberData(nameof(Ends))]
    public async Task A_guest_that_ends_or_breaks_the_protocol_is_classified_and_its_sandbox_destroyed(FakeAnswer answer, FaultType expected)
    {
        await using var plane = new Plane(script: FakeScript.Answering(answer));
        var outcome = await plane.InvokeAsync().WaitAsync(Bound);

        outcome.Status.ShouldBe(InvocationStatus.Failed);
        outcome.Error!.Type.ShouldBe(expected);
        outcome.Log.Lines[^1].Text.ShouldStartWith("REPORT");
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
        plane.Pools.Statistics().Live.ShouldBe(0);

        plane.Engine.Script = _ => new FakeScript();
        (await plane.InvokeAsync()).Status.ShouldBe(InvocationStatus.Completed);
    }

    [Fact]
    public async Task A_flood_of_logs_ends_at_the_timeout_with_a_bounded_log()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time, limits: new LimitOptions { MaxLogBytes = 200_000 }, script: FakeScript.Answering(new FakeAnswer.Flood()));
        var invoke = plane.InvokeAsync();
        await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.LogFrames > 20, "the guest floods");
        time.Advance(3000);
        var outcome = await invoke.WaitAsync(Bound);

        outcome.Error!.Type.ShouldBe(FaultType.TimedOut);
        outcome.Log.Lines.Sum(line => line.Text.Length).ShouldBeLessThan(210_000);
        outcome.Log.DroppedBytes.ShouldBeGreaterThan(0);
        await Eventually.True(() => plane.Engine.Live == 0, "the sandbox is gone");
    }

    [Fact]
    public async Task An_init_error_is_the_outcome_and_is_not_billed()
    {
        await using var plane = new Plane(script: FakeScript.FailingInit(new FakeAnswer.Error("ImportError", "Runtime.ImportModuleError", "No module named 'x'")));
        var outcome = await plane.InvokeAsync();

        outcome.Error!.Type.ShouldBe(FaultType.ImportError);
        outcome.Error.Name.ShouldBe("Runtime.ImportModuleError");
        outcome.BilledMs.ShouldBe(0);
        outcome.ColdStart.ShouldBeTrue();
        outcome.InitDuration.ShouldNotBeNull();
        outcome.Log.Lines.Select(line => line.Text.Split(' ')[0]).ShouldBe(["INIT_REPORT", "START", "END", "REPORT"]);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task An_init_that_hangs_ends_at_the_init_limit()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time, script: FakeScript.FailingInit(new FakeAnswer.Hang()));
        var invoke = plane.InvokeAsync();
        await Eventually.True(() => plane.Engine.Created == 1, "the sandbox is made");
        time.Advance(10_000);
        var outcome = await invoke.WaitAsync(Bound);

        outcome.Error!.Type.ShouldBe(FaultType.TimedOut);
        outcome.Error.Message.ShouldBe("Init timed out after 10.00 seconds");
        await Eventually.True(() => plane.Engine.Live == 0, "the sandbox is gone");
    }

    [Theory]
    [InlineData(3)]
    [InlineData(0)]
    public async Task A_crash_during_init_is_classified(int code)
    {
        await using var plane = new Plane(script: FakeScript.FailingInit(new FakeAnswer.Exit(code)));
        var outcome = await plane.InvokeAsync().WaitAsync(Bound);
        outcome.Error!.Type.ShouldBe(FaultType.ExitedEarly);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task An_engine_that_fails_is_the_platforms_fault_with_its_reason()
    {
        await using var plane = new Plane();
        plane.Engine.OnCreate = (_, _) => throw new EngineException("no cells left");
        var outcome = await plane.InvokeAsync();

        outcome.Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        outcome.Error.Message.ShouldBe("no cells left");
        outcome.Log.Lines.ShouldBeEmpty();
        plane.Pools.Statistics().Live.ShouldBe(0);
    }

    [Fact]
    public async Task An_unknown_engine_is_named_with_those_there_are()
    {
        await using var plane = new Plane();
        var outcome = await plane.InvokeAsync(Plane.Function() with { Engine = "docker" });
        outcome.Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        outcome.Error.Message.ShouldContain("'docker'");
        outcome.Error.Message.ShouldContain("native");
    }

    [Fact]
    public async Task An_engine_that_never_answers_is_given_up_and_its_late_sandbox_destroyed()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time);
        var gate = new TaskCompletionSource();
        plane.Engine.OnCreate = (_, _) => gate.Task;
        var invoke = plane.InvokeAsync();
        time.Advance(10_000);
        var outcome = await invoke.WaitAsync(Bound);
        outcome.Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        outcome.Error.Message.ShouldContain("InitTimeoutMs = 10000");
        plane.Pools.Statistics().Live.ShouldBe(1, "its room stays taken while the engine may still make it");

        gate.SetResult();
        await Eventually.True(() => plane.Pools.Statistics().Live == 0 && plane.Engine.Created == 1, "the late sandbox is gone");
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task A_caller_that_goes_away_does_not_stop_the_run()
    {
        var release = new TaskCompletionSource();
        await using var plane = new Plane(script: new FakeScript
        {
            OnEvent = async e =>
            {
                await release.Task;
                return new FakeAnswer.Result(e.Payload);
            },
        });
        using var caller = new CancellationTokenSource();
        var invoke = plane.InvokeAsync(caller: caller.Token);
        await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.Events == 1, "it runs");
        await caller.CancelAsync();
        release.SetResult();
        (await invoke.WaitAsync(Bound)).Status.ShouldBe(InvocationStatus.Completed);
    }

    [Fact]
    public async Task A_caller_that_goes_away_kills_the_run_when_the_function_says_so()
    {
        await using var plane = new Plane(script: FakeScript.Answering(new FakeAnswer.Hang()));
        using var caller = new CancellationTokenSource();
        var invoke = plane.InvokeAsync(Plane.Function() with { CancelOnDisconnect = true }, caller.Token);
        await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.Events == 1, "it runs");
        await caller.CancelAsync();
        var outcome = await invoke.WaitAsync(Bound);
        outcome.Status.ShouldBe(InvocationStatus.Cancelled);
        outcome.Error!.Type.ShouldBe(FaultType.Cancelled);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task A_caller_that_goes_away_while_it_waits_is_dropped()
    {
        await using var plane = new Plane(sandboxes: new SandboxOptions { MaxSandboxes = 1 }, script: FakeScript.Answering(new FakeAnswer.Hang()));
        var running = plane.InvokeAsync(Plane.Function() with { TimeoutMs = 60_000 });
        await Eventually.True(() => plane.Engine.Created == 1, "the only sandbox is taken");
        using var caller = new CancellationTokenSource();
        var waiting = plane.InvokeAsync(caller: caller.Token);
        await Eventually.True(() => plane.Pools.Statistics().Waiting == 1, "it waits");
        await caller.CancelAsync();
        (await waiting.WaitAsync(Bound)).Status.ShouldBe(InvocationStatus.Cancelled);
        plane.Pools.Statistics().Waiting.ShouldBe(0);

        await plane.Dispatcher.AbortAsync();
        await running.WaitAsync(Bound);
    }

    [Fact]
    public async Task Aborting_ends_a_run_as_the_platforms_loss()
    {
        await using var plane = new Plane(script: FakeScript.Answering(new FakeAnswer.Hang()));
        using var aborting = new CancellationTokenSource();
        var invoke = plane.InvokeAsync(aborting: aborting.Token);
        await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.Events == 1, "it runs");
        await aborting.CancelAsync();
        (await invoke.WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.SandboxLost);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task A_frozen_sandbox_that_cannot_be_thawed_is_replaced_before_the_event_is_sent()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time);
        var first = await plane.InvokeAsync();
        var sandbox = plane.Engine.Last;
        await FreezeIdleAsync(plane, time);
        sandbox.Frozen.ShouldBeTrue();
        sandbox.OnLifecycle = what => what == "thaw" ? throw new InvalidOperationException("cgroup is gone") : Task.CompletedTask;

        var second = await plane.InvokeAsync();
        second.Status.ShouldBe(InvocationStatus.Completed);
        second.SandboxId.ShouldNotBe(first.SandboxId);
        second.ColdStart.ShouldBeTrue();
        await plane.SettleAsync();
        sandbox.Destroyed.ShouldBeTrue();
        sandbox.Events.ShouldBe(1);
    }

    [Fact]
    public async Task A_sandbox_that_died_while_idle_is_never_rented()
    {
        await using var plane = new Plane();
        await plane.InvokeAsync();
        plane.Engine.Last.Die(new SandboxExit(1, null, false, false));
        var second = await plane.InvokeAsync();
        second.Status.ShouldBe(InvocationStatus.Completed);
        second.ColdStart.ShouldBeTrue();
        plane.Pools.Statistics().Counters.DiedIdle.ShouldBe(1);
    }

    [Fact]
    public async Task A_fresh_function_gets_a_new_sandbox_every_time()
    {
        await using var plane = new Plane();
        var function = Plane.Function() with { Freshness = Freshness.Fresh };
        var first = await plane.InvokeAsync(function);
        var second = await plane.InvokeAsync(function);
        second.SandboxId.ShouldNotBe(first.SandboxId);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task Too_many_invocations_in_flight_are_throttled_with_the_knob_named()
    {
        await using var plane = new Plane(limits: new LimitOptions { MaxConcurrency = 1 }, script: FakeScript.Answering(new FakeAnswer.Hang()));
        var running = plane.InvokeAsync();
        var refused = await plane.InvokeAsync();
        refused.Error!.Type.ShouldBe(FaultType.Throttled);
        refused.Error.Message.ShouldContain("Flint:Limits:MaxConcurrency = 1");
        await plane.Dispatcher.AbortAsync();
        await running.WaitAsync(Bound);
        plane.Dispatcher.InFlight.ShouldBe(0);
    }

    [Fact]
    public async Task A_destroy_that_hangs_never_holds_up_the_answer()
    {
        await using var plane = new Plane(script: FakeScript.Answering(new FakeAnswer.Exit(1)));
        var gate = new TaskCompletionSource();
        plane.Engine.OnCreated = sandbox => sandbox.OnLifecycle = what => what == "destroy" ? gate.Task : Task.CompletedTask;
        (await plane.InvokeAsync().WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.ExitedEarly);
        plane.Pools.Statistics().Closing.ShouldBe(1);
        gate.SetResult();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task The_guest_sees_lambdas_environment_and_the_users()
    {
        await using var plane = new Plane();
        var function = Plane.Function() with { Environment = Plane.Function().Environment.Add("KEY", "value").Add("AWS_REGION", "eu-west-1").Add("_HANDLER", "fake") };
        await plane.InvokeAsync(function);
        var environment = plane.Engine.Last.Spec.Environment;
        environment["KEY"].ShouldBe("value");
        environment["AWS_REGION"].ShouldBe("eu-west-1");
        environment["AWS_DEFAULT_REGION"].ShouldBe("local");
        environment["_HANDLER"].ShouldBe("main.handler", "what describes the sandbox cannot be overridden");
        environment["AWS_LAMBDA_FUNCTION_NAME"].ShouldBe("hello");
        environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"].ShouldBe("128");
        environment["AWS_EXECUTION_ENV"].ShouldBe("AWS_Lambda_python3.11");
        environment["AWS_LAMBDA_LOG_STREAM_NAME"].ShouldMatch(@"^\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$");
        environment.Keys.ShouldNotContain(key => key.Contains("SECRET") || key.Contains("TOKEN"));
    }

    /// <summary>Lets the grace go by; then everything idle is frozen.</summary>
    internal static async Task FreezeIdleAsync(Plane plane, ManualTimeProvider time)
    {
        using var freezer = new Flint.Runtime.Pooling.IdleFreezer(
            plane.Pools, plane.Engines, plane.Time, Microsoft.Extensions.Logging.Abstractions.NullLogger<Flint.Runtime.Pooling.IdleFreezer>.Instance);
        time.Advance(plane.Pools.FreezeAfter);
        await freezer.RunOnceAsync(default);
        var statistics = plane.Pools.Statistics();
        statistics.Idle.ShouldBeGreaterThan(0);
        statistics.Frozen.ShouldBe(statistics.Idle);
    }
}
