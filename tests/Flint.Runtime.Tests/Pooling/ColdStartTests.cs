using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Runtime.Tests.Pooling;

/// <summary>Cold starts under way are bounded; a burst waits, and waiting is nobody's fault.</summary>
public sealed class ColdStartTests
{
    private static readonly TimeSpan Bound = TimeSpan.FromSeconds(20);
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task Two_hundred_cold_starts_at_once_queue_and_all_succeed()
    {
        await using var plane = NewPlane(maxColdStarts: 8);
        var (starting, most) = (0, 0);
        var release = new SemaphoreSlim(0);
        plane.Engine.OnCreate = async (_, token) =>
        {
            lock (release)
            {
                most = Math.Max(most, ++starting);
            }
            await release.WaitAsync(token);
            lock (release)
            {
                starting--;
            }
        };
        var all = Enumerable.Range(0, 200).Select(i => plane.InvokeAsync(Plane.Function("f" + i))).ToArray();
        for (var i = 0; i < 25; i++)
        {
            // Each wave takes a second: together far more than the init limit of ten.
            await Eventually.True(() => Volatile.Read(ref starting) == 8, "the next wave starts");
            _time.Advance(1000);
            release.Release(8);
            await Eventually.True(() => all.Count(task => task.IsCompleted) == (i + 1) * 8, "the wave is through");
        }
        var outcomes = await Task.WhenAll(all).WaitAsync(Bound);
        outcomes.ShouldAllBe(outcome => outcome.Status == InvocationStatus.Completed);
        most.ShouldBe(8);
        outcomes.ShouldAllBe(outcome => outcome.InitDuration == TimeSpan.FromSeconds(1), "the queue is not init");
        outcomes.ShouldAllBe(outcome => outcome.BilledMs == 0);
        outcomes.Max(outcome => outcome.Timings.Queue).ShouldBe(TimeSpan.FromSeconds(24));
        await plane.SettleAsync();
    }

    [Fact]
    public async Task One_function_starts_at_most_half_and_another_gets_in()
    {
        await using var plane = NewPlane(maxColdStarts: 4);
        var own = Enumerable.Range(0, 3).Select(_ => plane.Pools.RentAsync(Plane.Function("slow"), default).AsTask()).ToArray();
        own.Count(task => task.IsCompleted).ShouldBe(2);
        var other = plane.Pools.RentAsync(Plane.Function("other"), default).AsTask();
        other.IsCompleted.ShouldBeTrue("who waits for its own function's cold starts holds up nobody");
        _time.Advance(1000);
        (await plane.Pools.RentAsync(Plane.Function("third"), default).AsTask().WaitAsync(Bound)).IsNew.ShouldBeTrue();
        plane.Pools.CheckInvariants();

        plane.Pools.Started(await own[0]);
        (await own[2].WaitAsync(Bound)).IsNew.ShouldBeTrue();
        plane.Pools.CheckInvariants();
    }

    [Fact]
    public async Task A_warm_sandbox_that_comes_back_serves_who_waits_for_a_cold_start()
    {
        await using var plane = NewPlane(maxColdStarts: 1);
        var first = await SandboxPoolsTests.RentAsync(plane);
        var second = plane.Pools.RentAsync(Plane.Function(), default).AsTask();
        second.IsCompleted.ShouldBeFalse();
        plane.Pools.Return(first);
        (await second.WaitAsync(Bound)).ShouldBeSameAs(first);
        plane.Engine.Created.ShouldBe(1);
        plane.Pools.CheckInvariants();
    }

    [Fact]
    public async Task A_cold_start_that_fails_or_is_given_up_makes_room_for_the_next()
    {
        await using var plane = NewPlane(maxColdStarts: 1);
        var never = new TaskCompletionSource();
        plane.Engine.OnCreate = (spec, _) => spec.CodeDirectory switch
        {
            "/code/fails" => throw new EngineException("no cells left"),
            "/code/hangs" => never.Task,
            _ => Task.CompletedTask,
        };
        (await plane.InvokeAsync(Plane.Function("fails")).WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        var hangs = plane.InvokeAsync(Plane.Function("hangs"));
        var waits = plane.InvokeAsync(Plane.Function("waits"));
        waits.IsCompleted.ShouldBeFalse();
        _time.Advance(10_000);
        (await hangs.WaitAsync(Bound)).Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        (await waits.WaitAsync(Bound)).Status.ShouldBe(InvocationStatus.Completed);
        never.SetResult();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task Who_waited_too_long_is_told_which_limit_stood_in_the_way()
    {
        await using var plane = NewPlane(maxColdStarts: 2, queueTimeoutMs: 500);
        await plane.Pools.RentAsync(Plane.Function("a"), default);
        await plane.Pools.RentAsync(Plane.Function("b"), default);
        var waiter = plane.Pools.RentAsync(Plane.Function("c"), default).AsTask();
        _time.Advance(500);
        var refusal = await Should.ThrowAsync<ThrottledException>(waiter.WaitAsync(Bound));
        refusal.Message.ShouldContain("QueueTimeoutMs = 500");
        refusal.Message.ShouldContain("MaxColdStarts = 2");
    }

    [Fact]
    public async Task A_crowd_in_the_queue_evicts_no_more_than_can_start_at_once()
    {
        await using var plane = new Plane(_time, new SandboxOptions { MaxSandboxes = 10, MemoryBudgetMb = 100_000, MaxColdStarts = 2 });
        for (var i = 0; i < 10; i++)
        {
            plane.Pools.Return(await SandboxPoolsTests.RentAsync(plane, Plane.Function("warm" + i)));
        }
        var crowd = Enumerable.Range(0, 9).Select(i => plane.Pools.RentAsync(Plane.Function("new" + i), default).AsTask()).ToArray();
        await Eventually.True(() => crowd.Count(task => task.IsCompleted) == 2, "two start");
        await Eventually.True(() => plane.Pools.Statistics().Closing == 0, "the evicted ones are gone");
        plane.Pools.Statistics().Idle.ShouldBeGreaterThanOrEqualTo(6);
        plane.Pools.CheckInvariants();
    }

    [Fact]
    public async Task Idle_sandboxes_count_little_against_the_memory_budget()
    {
        // A hundred warm functions of 1 GB each under a budget of 2 GB: each ran alone.
        await using var plane = new Plane(_time, new SandboxOptions { MaxSandboxes = 200, MemoryBudgetMb = 2048 });
        for (var i = 0; i < 100; i++)
        {
            plane.Pools.Return(await SandboxPoolsTests.RentAsync(plane, Plane.Function("f" + i) with { MemoryMb = 1024 }));
        }
        plane.Pools.Statistics().Idle.ShouldBe(100);
        plane.Pools.Statistics().MemoryMb.ShouldBe(100 * PoolLimits.IdleChargeMb);
        plane.Pools.CheckInvariants();
    }

    [Fact]
    public async Task An_idle_sandbox_is_rented_only_when_the_budget_has_room_for_it_running()
    {
        await using var plane = new Plane(_time, new SandboxOptions { MaxSandboxes = 200, MemoryBudgetMb = 1100 });
        FunctionSpec Big(string name) => Plane.Function(name) with { MemoryMb = 1024 };
        plane.Pools.Return(await SandboxPoolsTests.RentAsync(plane, Big("a")));
        plane.Pools.Return(await SandboxPoolsTests.RentAsync(plane, Big("b")));
        plane.Pools.TryRentIdle(Big("a"), out var a).ShouldBeTrue();
        plane.Pools.TryRentIdle(Big("b"), out _).ShouldBeFalse();
        var b = plane.Pools.RentAsync(Big("b"), default).AsTask();
        b.IsCompleted.ShouldBeFalse();
        plane.Pools.CheckInvariants();
        plane.Pools.Return(a!);
        (await b.WaitAsync(Bound)).ShouldNotBeNull();
        await plane.SettleAsync();
    }

    private Plane NewPlane(int maxColdStarts, int queueTimeoutMs = 30_000) =>
        new(_time, new SandboxOptions { MaxSandboxes = 1000, MemoryBudgetMb = 1_000_000, MaxColdStarts = maxColdStarts, QueueTimeoutMs = queueTimeoutMs });
}
