using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;

namespace Flint.Runtime.Tests.Invocation;

/// <summary>Freshness snapshot: one template, a fork for every event, made ahead and off the answer's path.</summary>
public sealed class SnapshotTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Each_invocation_runs_in_a_fork_of_its_own_and_init_is_done_once()
    {
        var inits = 0;
        await using var plane = new Plane(script: new FakeScript
        {
            OnInit = _ =>
            {
                inits++;
                return ValueTask.FromResult<FakeAnswer?>(null);
            },
            OnEvent = e => ValueTask.FromResult(FakeAnswer.Json($"[\"{e.Sandbox.Id}\",{e.Number}]")),
        });
        var results = new List<string>();
        var colds = new List<bool>();
        for (var i = 0; i < 3; i++)
        {
            var outcome = await plane.InvokeAsync(Function()).WaitAsync(Bound);
            results.Add(System.Text.Encoding.UTF8.GetString(outcome.Result.Span));
            colds.Add(outcome.ColdStart);
            (outcome.InitDuration is not null).ShouldBe(outcome.ColdStart);
            outcome.SandboxId.ShouldBe("fake-1");
            await IdleAsync(plane);
        }

        results.ShouldBe(["[\"fake-1.1\",1]", "[\"fake-1.2\",1]", "[\"fake-1.3\",1]"]);
        colds.ShouldBe([true, false, false]);
        (inits, plane.Engine.Created).ShouldBe((1, 1));
        plane.Engine.Last.Events.ShouldBe(0, "the template never runs an event");
        plane.Engine.Last.Init.GetProperty("snapshot").GetBoolean().ShouldBeTrue();
        plane.Engine.Last.PeakResets.ShouldBe(3);
        plane.Engine.Last.FakeTemplate!.Overlaps.ShouldBe(0);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task An_answer_waits_neither_for_the_old_forks_end_nor_for_the_next_fork()
    {
        await using var plane = new Plane();
        var destroy = new TaskCompletionSource();
        var fork = new TaskCompletionSource();
        plane.Engine.OnForked = sandbox => sandbox.OnLifecycle = what => what == "destroy" ? destroy.Task : Task.CompletedTask;
        plane.Engine.OnCreated = sandbox => sandbox.FakeTemplate!.OnFork = number => number == 2 ? fork.Task : Task.CompletedTask;

        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).Status.ShouldBe(InvocationStatus.Completed);
        var template = plane.Engine.Last.FakeTemplate!;
        (plane.Pools.Statistics().Renewing, template.Forks.Count).ShouldBe((1, 1));

        destroy.SetResult();
        plane.Pools.Statistics().Idle.ShouldBe(0);
        fork.SetResult();
        await IdleAsync(plane);
        (template.Forks.Count, template.Overlaps).ShouldBe((2, 0));
    }

    [Fact]
    public async Task A_call_during_the_renewal_waits_for_it_instead_of_a_second_init()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time);
        var destroy = new TaskCompletionSource();
        plane.Engine.OnForked = sandbox => sandbox.OnLifecycle = what => what == "destroy" ? destroy.Task : Task.CompletedTask;
        await plane.InvokeAsync(Function()).WaitAsync(Bound);

        var second = plane.InvokeAsync(Function());
        var third = plane.InvokeAsync(Function());
        (await third.WaitAsync(Bound)).ColdStart.ShouldBeTrue("one renewal serves one");
        (second.IsCompleted, plane.Engine.Created).ShouldBe((false, 2));
        destroy.SetResult();
        (await second.WaitAsync(Bound)).ColdStart.ShouldBeFalse();
        await IdleAsync(plane, 2);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_renewal_that_is_stuck_is_not_waited_for_and_ends_in_the_wholes_destruction()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time);
        plane.Engine.OnForked = sandbox => sandbox.OnLifecycle = what => what == "destroy" && sandbox.Id == "fake-1.1" ? new TaskCompletionSource().Task : Task.CompletedTask;
        await plane.InvokeAsync(Function()).WaitAsync(Bound);
        var second = plane.InvokeAsync(Function());
        time.Advance(250);
        plane.Pools.ExpireIdle();
        (await second.WaitAsync(Bound)).ColdStart.ShouldBeTrue();

        await time.WaitForTimerAsync(TimeSpan.FromSeconds(10));
        time.Advance(10_000);
        await Eventually.True(() => plane.Engine.Live == 1, "the stuck one is destroyed as a whole");
        await IdleAsync(plane);
        plane.Pools.CheckInvariants();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    public async Task A_fork_that_ends_early_does_not_condemn_the_template(int code)
    {
        await using var plane = new Plane(script: Answering(1, new FakeAnswer.Exit(code)));
        var first = await plane.InvokeAsync(Function()).WaitAsync(Bound);
        first.Error!.Type.ShouldBe(FaultType.ExitedEarly);
        await IdleAsync(plane);
        var second = await plane.InvokeAsync(Function()).WaitAsync(Bound);
        (second.Status, second.ColdStart, second.SandboxId).ShouldBe((InvocationStatus.Completed, false, first.SandboxId));
        await IdleAsync(plane);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_fork_that_is_killed_for_memory_does_not_condemn_the_template_and_is_named_so()
    {
        await using var plane = new Plane(script: Answering(1, new FakeAnswer.OutOfMemory()));
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.OutOfMemory);
        await IdleAsync(plane);
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).ColdStart.ShouldBeFalse();
        await IdleAsync(plane);
    }

    [Fact]
    public async Task A_whole_that_is_killed_for_memory_is_gone()
    {
        await using var plane = new Plane(script: new FakeScript());
        plane.Engine.Script = _ => new FakeScript
        {
            OnEvent = _ =>
            {
                plane.Engine.Last.Die(new SandboxExit(null, 9, true, false));
                return ValueTask.FromResult<FakeAnswer>(new FakeAnswer.Hang());
            },
        };
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.OutOfMemory);
        await Eventually.True(() => plane.Pools.Statistics().Live == 0, "the whole is destroyed");
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Theory]
    [InlineData("timeout")]
    [InlineData("protocol")]
    [InlineData("caller")]
    public async Task A_fork_that_had_to_be_stopped_condemns_the_whole(string how)
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time, script: Answering(1, how == "protocol" ? new FakeAnswer.Raw([9, 9, 9, 9, 9, 9, 9, 9]) : new FakeAnswer.Hang()));
        using var caller = new CancellationTokenSource();
        var invoke = plane.InvokeAsync(Function() with { CancelOnDisconnect = true }, caller.Token);
        if (how != "protocol")
        {
            await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.FakeTemplate!.Last?.Events == 1, "the fork has the event");
            if (how == "caller")
            {
                await caller.CancelAsync();
            }
            time.Advance(3000);
        }
        var outcome = await invoke.WaitAsync(Bound);
        outcome.Error!.Type.ShouldBe(how switch { "timeout" => FaultType.TimedOut, "caller" => FaultType.Cancelled, _ => FaultType.ProtocolViolation });
        await Eventually.True(() => plane.Engine.Live == 0, "the whole is gone");
        await plane.SettleAsync();
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).ColdStart.ShouldBeTrue();
        await IdleAsync(plane);
    }

    [Fact]
    public async Task A_process_that_cannot_be_a_snapshot_is_the_functions_fault_with_advice()
    {
        await using var plane = new Plane(script: new FakeScript { Unsafe = ["a thread \"worker-1\"", "an open socket"] });
        var outcome = await plane.InvokeAsync(Function()).WaitAsync(Bound);
        (outcome.Status, outcome.Error!.Type, outcome.Error.Name).ShouldBe((InvocationStatus.Failed, FaultType.SnapshotUnsafe, "Runtime.SnapshotUnsafe"));
        outcome.Error.Message.ShouldContain("a thread \"worker-1\"; an open socket");
        outcome.Error.Message.ShouldContain("os.register_at_fork");
        FaultType.SnapshotUnsafe.Owner().ShouldBe(FaultOwner.Function);
        (outcome.BilledMs, outcome.Log.Lines[0].Text.StartsWith("INIT_REPORT", StringComparison.Ordinal)).ShouldBe((0, true));
        await plane.SettleAsync();
        (plane.Engine.Live, plane.Engine.Created).ShouldBe((0, 1));
    }

    [Fact]
    public async Task Settings_that_keep_a_function_from_being_a_snapshot_are_its_own_fault()
    {
        await using var plane = new Plane();
        plane.Engine.OnCreate = (_, _) => throw new SnapshotUnsafeException(["the environment variable X is read when the interpreter starts"]) { Advice = "Leave it out." };
        var outcome = await plane.InvokeAsync(Function()).WaitAsync(Bound);
        (outcome.Status, outcome.Error!.Type).ShouldBe((InvocationStatus.Failed, FaultType.SnapshotUnsafe));
        outcome.Error.Message.ShouldBe("The process cannot be kept as a snapshot: the environment variable X is read when the interpreter starts. Leave it out.");
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task An_engine_that_makes_no_template_is_refused_with_its_reason()
    {
        await using var plane = new Plane();
        plane.Engine.Capabilities = plane.Engine.Capabilities with { NoSnapshot = "the kernel has no overlay" };
        var outcome = await plane.InvokeAsync(Function()).WaitAsync(Bound);
        outcome.Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        outcome.Error.Message.ShouldContain("the kernel has no overlay");
        plane.Engine.Created.ShouldBe(0);
    }

    [Fact]
    public async Task A_fork_that_hangs_in_the_making_ends_at_the_init_limit()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time);
        plane.Engine.OnCreated = sandbox => sandbox.FakeTemplate!.OnFork = _ => new TaskCompletionSource().Task;
        var invoke = plane.InvokeAsync(Function());
        await Eventually.True(() => plane.Engine.Created == 1 && plane.Engine.Last.Init.ValueKind != System.Text.Json.JsonValueKind.Undefined, "init is done");
        time.Advance(10_000);
        var outcome = await invoke.WaitAsync(Bound);
        (outcome.Error!.Type, outcome.Error.Message).ShouldBe((FaultType.TimedOut, "Init timed out after 10.00 seconds"));
        await Eventually.True(() => plane.Engine.Live == 0, "it is gone");
    }

    [Fact]
    public async Task A_renewal_that_fails_costs_the_next_call_a_cold_start_and_nothing_else()
    {
        await using var plane = new Plane();
        plane.Engine.OnCreated = sandbox => sandbox.FakeTemplate!.OnFork =
            number => sandbox.Id == "fake-1" && number == 2 ? throw new InvalidOperationException("no memory for a fork") : Task.CompletedTask;
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).Status.ShouldBe(InvocationStatus.Completed);
        await Eventually.True(() => plane.Engine.Live == 0, "the whole is gone");
        var second = await plane.InvokeAsync(Function()).WaitAsync(Bound);
        (second.Status, second.ColdStart).ShouldBe((InvocationStatus.Completed, true));
        await IdleAsync(plane);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_fork_that_dies_while_it_waits_is_never_given_an_event()
    {
        await using var plane = new Plane();
        await plane.InvokeAsync(Function()).WaitAsync(Bound);
        await IdleAsync(plane);
        plane.Engine.Last.FakeTemplate!.Last!.Die(new SandboxExit(1, null, false, false));
        await Eventually.True(() => plane.Pools.Statistics().Counters.DiedIdle == 1, "the pool noticed");
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).ColdStart.ShouldBeTrue();
    }

    [Fact]
    public async Task Calls_at_once_make_templates_within_the_limits_and_the_rest_queue()
    {
        await using var plane = new Plane(sandboxes: new SandboxOptions { MaxSandboxes = 3 });
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => plane.InvokeAsync(Function()))).WaitAsync(Bound);
        outcomes.ShouldAllBe(outcome => outcome.Status == InvocationStatus.Completed);
        plane.Engine.MostLive.ShouldBeLessThanOrEqualTo(3);
        plane.Engine.Sandboxes.Sum(sandbox => sandbox.FakeTemplate!.Overlaps).ShouldBe(0);
        await Eventually.True(() => plane.Pools.Statistics() is { Renewing: 0, Busy: 0 }, "all are idle");
        plane.Engine.Sandboxes.Sum(sandbox => sandbox.FakeTemplate!.Forks.Sum(fork => fork.Events)).ShouldBe(20);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_new_revision_during_the_renewal_closes_the_old_one_when_it_is_renewed()
    {
        await using var plane = new Plane();
        var destroy = new TaskCompletionSource();
        plane.Engine.OnForked = sandbox => sandbox.OnLifecycle = what => what == "destroy" && sandbox.Id == "fake-1.1" ? destroy.Task : Task.CompletedTask;
        await plane.InvokeAsync(Function()).WaitAsync(Bound);
        await plane.InvokeAsync(Function() with { Revision = "2" }).WaitAsync(Bound);
        destroy.SetResult();
        await Eventually.True(() => plane.Engine.Live == 1, "the old revision's is gone");
        await IdleAsync(plane);
        await plane.SettleAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Stopping_during_a_renewal_destroys_the_whole_and_waits_for_the_renewal(bool dying)
    {
        await using var plane = new Plane();
        var destroy = new TaskCompletionSource();
        plane.Engine.OnForked = sandbox => sandbox.OnLifecycle = what => what == "destroy" ? destroy.Task : Task.CompletedTask;
        await plane.InvokeAsync(Function()).WaitAsync(Bound);
        if (dying)
        {
            plane.Engine.Last.Die(new SandboxExit(null, 9, false, false));
        }
        plane.Pools.Stop();
        await Eventually.True(() => plane.Engine.Live == 0, "it does not wait for the fork");
        plane.Pools.RenewalsEnded.IsCompleted.ShouldBeFalse();
        destroy.SetResult();
        await plane.Pools.RenewalsEnded.WaitAsync(Bound);
        await plane.SettleAsync();
        plane.Pools.Statistics().Live.ShouldBe(0);
    }

    [Theory]
    [InlineData("the first fork")]
    [InlineData("the event")]
    [InlineData("a renewal")]
    public async Task Aborting_ends_an_invocation_in_any_phase(string phase)
    {
        await using var plane = new Plane(sandboxes: new SandboxOptions { MaxSandboxes = 1 }, script: Answering(1, phase == "the event" ? new FakeAnswer.Hang() : FakeAnswer.Json("1")));
        var never = new TaskCompletionSource();
        plane.Engine.OnCreated = sandbox => sandbox.FakeTemplate!.OnFork = number => phase == "the first fork" || (phase == "a renewal" && number == 2) ? never.Task : Task.CompletedTask;
        if (phase == "a renewal")
        {
            await plane.InvokeAsync(Function()).WaitAsync(Bound);
        }
        var invoke = plane.InvokeAsync(Function());
        await Eventually.True(() => phase switch
        {
            "the event" => plane.Engine.Created == 1 && plane.Engine.Last.FakeTemplate!.Last?.Events == 1,
            "a renewal" => plane.Pools.Statistics().Waiting == 1,
            _ => plane.Engine.Created == 1 && plane.Engine.Last.Init.ValueKind != System.Text.Json.JsonValueKind.Undefined,
        }, "it is there");
        await plane.Dispatcher.AbortAsync();
        (await invoke.WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.SandboxLost);
        plane.Pools.Stop();
        await Eventually.True(() => plane.Engine.Live == 0, "all is gone");
        plane.Dispatcher.InFlight.ShouldBe(0);
        never.SetResult();
        await plane.SettleAsync();
        await plane.Pools.RenewalsEnded.WaitAsync(Bound);
    }

    [Fact]
    public async Task An_idle_snapshot_is_frozen_thawed_and_expires_as_a_whole()
    {
        var time = new ManualTimeProvider();
        await using var plane = new Plane(time);
        await plane.InvokeAsync(Function()).WaitAsync(Bound);
        await IdleAsync(plane);
        await DispatcherTests.FreezeIdleAsync(plane, time);
        (plane.Engine.Last.Frozen, plane.Engine.Last.FakeTemplate!.Last!.Frozen).ShouldBe((true, true));
        (await plane.InvokeAsync(Function()).WaitAsync(Bound)).ColdStart.ShouldBeFalse();
        plane.Engine.Last.Thaws.ShouldBe(1);
        await IdleAsync(plane);
        plane.Pools.RetireFunction("default", "hello");
        await plane.SettleAsync();
        (plane.Engine.Live, plane.Engine.Last.FakeTemplate!.Last!.Destroyed).ShouldBe((0, true));
    }

    private static FunctionSpec Function() => Plane.Function() with { Freshness = Freshness.Snapshot };

    /// <summary>The n-th fork of the first template answers so; all others echo.</summary>
    private static FakeScript Answering(int fork, FakeAnswer answer) => new()
    {
        OnEvent = e => ValueTask.FromResult(e.Sandbox.Id == $"fake-1.{fork}" ? answer : new FakeAnswer.Result(e.Payload)),
    };

    private static Task IdleAsync(Plane plane, int idle = 1) =>
        Eventually.True(() => plane.Pools.Statistics() is { Renewing: 0 } now && now.Idle == idle, "renewed");
}
