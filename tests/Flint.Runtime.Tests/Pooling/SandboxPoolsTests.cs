using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Runtime.Tests.Pooling;

public sealed class SandboxPoolsTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task The_hottest_idle_sandbox_is_rented_first()
    {
        await using var plane = NewPlane();
        var (a, b, c) = (await RentAsync(plane), await RentAsync(plane), await RentAsync(plane));
        plane.Pools.Return(a);
        plane.Pools.Return(b);
        plane.Pools.Return(c);

        (await RentAsync(plane)).ShouldBeSameAs(c);
        (await RentAsync(plane)).ShouldBeSameAs(b);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task Renting_an_idle_sandbox_is_synchronous()
    {
        await using var plane = NewPlane();
        plane.Pools.Return(await RentAsync(plane));
        var rent = plane.Pools.RentAsync(Plane.Function(), default);
        rent.IsCompletedSuccessfully.ShouldBeTrue();
        (await rent).IsNew.ShouldBeFalse();
    }

    [Theory]
    [InlineData("tenant")]
    [InlineData("function")]
    [InlineData("version")]
    [InlineData("revision")]
    public async Task A_sandbox_is_never_reused_across_tenant_function_version_or_revision(string what)
    {
        await using var plane = NewPlane();
        var spec = Plane.Function();
        plane.Pools.Return(await RentAsync(plane, spec));
        var other = what switch
        {
            "tenant" => spec with { TenantId = "other" },
            "function" => spec with { FunctionId = "other" },
            "version" => spec with { Version = "1" },
            _ => spec with { Revision = "2" },
        };
        plane.Pools.TryRentIdle(other, out _).ShouldBeFalse();
        (await plane.Pools.RentAsync(other, default)).IsNew.ShouldBeTrue();
    }

    [Fact]
    public async Task A_new_revision_retires_the_idle_at_once_and_the_busy_on_return()
    {
        await using var plane = NewPlane();
        var spec = Plane.Function();
        var (idle, busy) = (await RentAsync(plane, spec), await RentAsync(plane, spec));
        plane.Pools.Return(idle);
        var newer = await plane.Pools.RentAsync(spec with { Revision = "2" }, default);
        await plane.SettleAsync();
        Counts(plane).ShouldBe((2, 1, 0));

        plane.Pools.Return(busy);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
        newer.IsNew.ShouldBeTrue();

        // A late request with the old revision runs, and takes nothing from the new one.
        plane.Pools.Return(await RentAsync(plane, spec));
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task Deleting_a_function_closes_its_idle_sandboxes()
    {
        await using var plane = NewPlane();
        plane.Pools.Return(await RentAsync(plane, Plane.Function("a")));
        plane.Pools.Return(await RentAsync(plane, Plane.Function("b")));
        plane.Pools.RetireFunction("default", "a");
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(1);
        plane.Pools.LiveCodeDirectories().ShouldBe(["/code/b"]);
    }

    [Fact]
    public async Task Waiters_are_served_in_order_and_get_returned_sandboxes()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1, QueueLimit = 10 });
        var only = await RentAsync(plane);
        var first = plane.Pools.RentAsync(Plane.Function(), default).AsTask();
        var second = plane.Pools.RentAsync(Plane.Function(), default).AsTask();
        plane.Pools.Return(only);
        (await first.WaitAsync(TimeSpan.FromSeconds(20))).ShouldBeSameAs(only);
        second.IsCompleted.ShouldBeFalse();
        plane.Pools.Return(only);
        (await second.WaitAsync(TimeSpan.FromSeconds(20))).ShouldBeSameAs(only);
        plane.Engine.Created.ShouldBe(1);
    }

    [Fact]
    public async Task A_sandbox_that_dies_makes_room_for_a_waiter()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1 });
        var only = await RentAsync(plane);
        var waiter = plane.Pools.RentAsync(Plane.Function(), default).AsTask();
        plane.Pools.Discard(only);
        (await waiter.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
    }

    [Fact]
    public async Task Room_is_free_only_when_the_host_has_proved_the_sandbox_gone()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1 });
        var gate = new TaskCompletionSource();
        plane.Engine.OnCreated = sandbox => sandbox.OnLifecycle = _ => gate.Task;
        var only = await RentAsync(plane);
        var waiter = plane.Pools.RentAsync(Plane.Function("other"), default).AsTask();
        plane.Pools.Discard(only);
        await plane.Janitor.RunOnceAsync(default);
        waiter.IsCompleted.ShouldBeFalse();
        gate.SetResult();
        (await waiter.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
    }

    [Fact]
    public async Task An_idle_sandbox_of_another_function_is_evicted_for_a_waiter()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 2 });
        plane.Pools.Return(await RentAsync(plane, Plane.Function("old")));
        _time.Advance(1000);
        plane.Pools.Return(await RentAsync(plane, Plane.Function("young")));
        var rented = await plane.Pools.RentAsync(Plane.Function("new"), default).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        rented.IsNew.ShouldBeTrue();
        plane.Pools.TryRentIdle(Plane.Function("young"), out _).ShouldBeTrue("the older one was evicted");
        plane.Pools.TryRentIdle(Plane.Function("old"), out _).ShouldBeFalse();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_sandbox_that_becomes_idle_is_evicted_for_a_waiter_of_another_function()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1 });
        var busy = await RentAsync(plane, Plane.Function("a"));
        var waiter = plane.Pools.RentAsync(Plane.Function("b"), default).AsTask();
        plane.Pools.Return(busy);
        (await waiter.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_sandbox_that_died_while_busy_is_not_kept_on_return()
    {
        await using var plane = NewPlane();
        var slot = await RentAsync(plane);
        plane.Engine.Last.Die(new SandboxExit(0, null, false, false));
        plane.Pools.Return(slot);
        plane.Pools.Statistics().Idle.ShouldBe(0);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task A_waiter_that_wants_a_fresh_sandbox_is_never_handed_a_used_one()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1 });
        var used = await RentAsync(plane);
        var waiter = plane.Pools.RentAsync(Plane.Function() with { Freshness = Freshness.Fresh }, default).AsTask();
        plane.Pools.Return(used);
        (await waiter.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task The_memory_budget_bounds_the_sum_of_limits()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 100, MemoryBudgetMb = 1000, QueueTimeoutMs = 500 });
        var big = Plane.Function("big") with { MemoryMb = 800 };
        await RentAsync(plane, big);
        await RentAsync(plane, Plane.Function("small"));
        var third = plane.Pools.RentAsync(Plane.Function("small"), default).AsTask();
        third.IsCompleted.ShouldBeFalse();
        _time.Advance(500);
        var refusal = await Should.ThrowAsync<ThrottledException>(third.WaitAsync(TimeSpan.FromSeconds(20)));
        refusal.Message.ShouldContain("QueueTimeoutMs = 500");
        refusal.Message.ShouldContain("MemoryBudgetMb = 1000");
    }

    [Fact]
    public async Task A_function_larger_than_the_budget_is_refused_at_once()
    {
        await using var plane = NewPlane(new SandboxOptions { MemoryBudgetMb = 512 });
        var refusal = Should.Throw<ThrottledException>(() => plane.Pools.RentAsync(Plane.Function() with { MemoryMb = 1024 }, default).AsTask());
        refusal.Message.ShouldContain("1024 MB");
        refusal.Message.ShouldContain("MemoryBudgetMb = 512");
    }

    [Fact]
    public async Task A_small_waiter_passes_a_large_one_until_that_has_waited_long()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 100, MemoryBudgetMb = 1000 });
        var held = await RentAsync(plane, Plane.Function("held") with { MemoryMb = 700 });
        var large = plane.Pools.RentAsync(Plane.Function("large") with { MemoryMb = 800 }, default).AsTask();
        var small = plane.Pools.RentAsync(Plane.Function("small"), default).AsTask();
        (await small.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();

        _time.Advance(300);
        var late = plane.Pools.RentAsync(Plane.Function("late"), default).AsTask();
        late.IsCompleted.ShouldBeFalse("the large one has waited long enough");
        plane.Pools.Discard(await small);
        plane.Pools.Discard(held);
        (await large.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
        (await late.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_busy_function_yields_to_a_waiter_of_another_that_has_waited_long()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1, QueueLimit = 10 });
        var slot = await RentAsync(plane, Plane.Function("busy"));
        var other = plane.Pools.RentAsync(Plane.Function("other"), default).AsTask();
        var own = plane.Pools.RentAsync(Plane.Function("busy"), default).AsTask();
        plane.Pools.Return(slot);
        (await own.WaitAsync(TimeSpan.FromSeconds(20))).ShouldBeSameAs(slot);

        var again = plane.Pools.RentAsync(Plane.Function("busy"), default).AsTask();
        _time.Advance(300);
        plane.Pools.Return(slot);
        (await other.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
        again.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Too_many_waiters_are_refused_with_the_knobs_named()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1, QueueLimit = 4 });
        await RentAsync(plane);
        foreach (var name in (string[])["a", "a", "b", "b"])
        {
            _ = plane.Pools.RentAsync(Plane.Function(name), default).AsTask();
        }
        var refusal = Should.Throw<ThrottledException>(() => plane.Pools.RentAsync(Plane.Function("c"), default).AsTask());
        refusal.Message.ShouldContain("QueueLimit = 4");
        refusal.Message.ShouldContain("MaxSandboxes = 1");
        plane.Pools.Statistics().Counters.Throttled.ShouldBe(1);
    }

    [Fact]
    public async Task One_function_takes_at_most_half_of_the_queue()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 1, QueueLimit = 4 });
        await RentAsync(plane);
        _ = plane.Pools.RentAsync(Plane.Function("a"), default).AsTask();
        _ = plane.Pools.RentAsync(Plane.Function("a"), default).AsTask();
        Should.Throw<ThrottledException>(() => plane.Pools.RentAsync(Plane.Function("a"), default).AsTask()).Message.ShouldContain("half");
        plane.Pools.RentAsync(Plane.Function("b"), default).AsTask().IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Idle_sandboxes_expire_after_their_lifetime_the_oldest_first()
    {
        await using var plane = NewPlane();
        var (a, b) = (await RentAsync(plane), await RentAsync(plane));
        plane.Pools.Return(a);
        _time.Advance(TimeSpan.FromMinutes(5));
        plane.Pools.Return(b);
        _time.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromMilliseconds(1));
        plane.Pools.ExpireIdle().ShouldBe(0);
        _time.Advance(1);
        plane.Pools.ExpireIdle().ShouldBe(1);
        (await RentAsync(plane)).ShouldBeSameAs(b);
        plane.Pools.Statistics().Counters.Expired.ShouldBe(1);
        plane.Pools.Statistics().Counters.Evicted.ShouldBe(0);
        await plane.SettleAsync();
    }

    [Fact]
    public async Task Below_the_memory_floor_nothing_grows_and_idle_ones_are_evicted()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 100, MemoryBudgetMb = 100_000, MemoryFloorMb = 500, QueueTimeoutMs = 100 });
        for (var i = 0; i < 8; i++)
        {
            plane.Pools.Return(await RentAsync(plane, Plane.Function("f" + i)));
        }
        plane.Pools.ObserveHost(new HostMemory(8192, 499)).ShouldBe(4);
        var waiter = plane.Pools.RentAsync(Plane.Function("new"), default).AsTask();
        _time.Advance(100);
        (await Should.ThrowAsync<ThrottledException>(waiter.WaitAsync(TimeSpan.FromSeconds(20)))).Message.ShouldContain("MemoryFloorMb = 500");

        plane.Pools.ObserveHost(new HostMemory(8192, 500)).ShouldBe(0);
        (await plane.Pools.RentAsync(Plane.Function("new"), default)).IsNew.ShouldBeTrue();
        await plane.SettleAsync();
    }

    [Fact]
    public async Task A_waiter_is_served_when_the_pressure_ends()
    {
        await using var plane = NewPlane(new SandboxOptions { MemoryFloorMb = 500 });
        plane.Pools.ObserveHost(new HostMemory(8192, 100));
        var waiter = plane.Pools.RentAsync(Plane.Function(), default).AsTask();
        waiter.IsCompleted.ShouldBeFalse();
        plane.Pools.ObserveHost(new HostMemory(8192, 4000));
        (await waiter.WaitAsync(TimeSpan.FromSeconds(20))).IsNew.ShouldBeTrue();
    }

    [Fact]
    public async Task A_sandbox_that_exits_while_idle_is_dropped_without_being_rented()
    {
        await using var plane = NewPlane();
        plane.Pools.Return(await RentAsync(plane));
        plane.Engine.Last.Die(new SandboxExit(1, null, false, false));
        await Eventually.True(() => plane.Pools.Statistics().Counters.DiedIdle == 1, "the pool noticed");
        await plane.SettleAsync();
        Counts(plane).ShouldBe((0, 0, 0));
        plane.Engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task Stopping_refuses_waiters_closes_the_idle_and_takes_back_the_busy()
    {
        await using var plane = NewPlane(new SandboxOptions { MaxSandboxes = 2 });
        var (idle, busy) = (await RentAsync(plane), await RentAsync(plane));
        var waiter = plane.Pools.RentAsync(Plane.Function("other"), default).AsTask();
        plane.Pools.Stop();
        await Should.ThrowAsync<EngineException>(waiter.WaitAsync(TimeSpan.FromSeconds(20)));
        plane.Pools.Return(idle);
        plane.Pools.Return(busy);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
        Should.Throw<EngineException>(() => plane.Pools.RentAsync(Plane.Function(), default).AsTask());
    }

    [Fact]
    public async Task Giving_a_sandbox_back_twice_is_refused()
    {
        await using var plane = NewPlane();
        var slot = await RentAsync(plane);
        plane.Pools.Return(slot);
        Should.Throw<InvalidOperationException>(() => plane.Pools.Return(slot));
        plane.Pools.TryRentIdle(Plane.Function(), out var again).ShouldBeTrue();
        plane.Pools.Discard(again);
        Should.Throw<InvalidOperationException>(() => plane.Pools.Discard(again));
    }

    [Fact]
    public async Task Pools_that_nobody_uses_are_forgotten()
    {
        await using var plane = NewPlane();
        for (var i = 0; i < 50; i++)
        {
            plane.Pools.Discard(await RentAsync(plane, Plane.Function("job" + i)));
        }
        await plane.SettleAsync();
        plane.Pools.ExpireIdle();
        plane.Pools.KnownPools.ShouldBe(0);
    }

    private Plane NewPlane(SandboxOptions? options = null) => new(_time, options ?? new SandboxOptions { MaxSandboxes = 10, MemoryBudgetMb = 100_000 });

    private static (int Live, int Busy, int Idle) Counts(Plane plane)
    {
        var now = plane.Pools.Statistics();
        return (now.Live, now.Busy, now.Idle);
    }

    internal static async Task<PooledSandbox> RentAsync(Plane plane, FunctionSpec? spec = null)
    {
        spec ??= Plane.Function();
        var slot = await plane.Pools.RentAsync(spec, default).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        if (slot.IsNew)
        {
            var sandbox = await plane.Engines.CreateAsync("native", new SandboxSpec
            {
                TenantId = spec.TenantId,
                Runtime = spec.Runtime,
                CodeDirectory = spec.CodeDirectory,
                MemoryMb = spec.MemoryMb,
                TmpMb = spec.TmpMb,
                Environment = spec.Environment,
            }, default);
            plane.Pools.Attach(slot, sandbox, new GuestConnection(sandbox, new GuestLimits()));
        }
        return slot;
    }
}
