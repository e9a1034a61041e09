using Flint.Runtime.Hosting;
using Flint.Runtime.Pooling;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Runtime.Tests.Pooling;

public sealed class IdleFreezerTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public async Task A_sandbox_is_frozen_after_the_grace_and_thawed_when_it_is_invoked()
    {
        await using var plane = new Plane(_time);
        using var freezer = NewFreezer(plane);
        await plane.InvokeAsync();
        var sandbox = plane.Engine.Last;
        _time.Advance(19);
        (await freezer.RunOnceAsync(default)).Handled.ShouldBe(0);
        _time.Advance(1);
        (await freezer.RunOnceAsync(default)).Handled.ShouldBe(1);
        sandbox.Frozen.ShouldBeTrue();
        plane.Pools.Statistics().Frozen.ShouldBe(1);

        var warm = await plane.InvokeAsync();
        warm.ColdStart.ShouldBeFalse();
        (sandbox.Frozen, sandbox.Thaws).ShouldBe((false, 1));
    }

    [Fact]
    public async Task A_sandbox_that_is_used_in_time_is_never_frozen()
    {
        await using var plane = new Plane(_time);
        using var freezer = NewFreezer(plane);
        for (var i = 0; i < 20; i++)
        {
            await plane.InvokeAsync();
            _time.Advance(15);
            await freezer.RunOnceAsync(default);
        }
        plane.Engine.Last.Freezes.ShouldBe(0);
    }

    [Fact]
    public async Task A_thousand_idle_sandboxes_are_frozen_in_one_run()
    {
        await using var plane = new Plane(_time, new SandboxOptions { MaxSandboxes = 1000, MemoryBudgetMb = 1_000_000 });
        using var freezer = NewFreezer(plane);
        var slots = new List<PooledSandbox>();
        for (var i = 0; i < 1000; i++)
        {
            slots.Add(await SandboxPoolsTests.RentAsync(plane));
        }
        slots.ForEach(plane.Pools.Return);
        _time.ActiveTimers.ShouldBe(0, "returning arms no timer");
        _time.Advance(20);
        (await freezer.RunOnceAsync(default)).Handled.ShouldBe(1000);
        plane.Pools.Statistics().Frozen.ShouldBe(1000);
    }

    [Fact]
    public async Task It_sleeps_when_there_is_nothing_and_the_next_return_wakes_it()
    {
        await using var plane = new Plane(_time);
        using var freezer = NewFreezer(plane);
        for (var i = 0; i < 60; i++)
        {
            await freezer.RunOnceAsync(default);
        }
        (await freezer.RunOnceAsync(default)).NextIn.ShouldBeNull();
        await freezer.StartAsync(default);
        await Eventually.True(() => freezer.State.Runs == 1, "the loop has begun");
        await plane.InvokeAsync();
        await Eventually.True(() => freezer.State.Runs == 2, "the return woke it");
        await _time.WaitForTimerAsync(TimeSpan.FromMilliseconds(20));
        _time.Advance(20);
        await Eventually.True(() => plane.Engine.Last.Frozen, "it is frozen");
        await freezer.StopAsync(default);
    }

    [Fact]
    public async Task A_sandbox_that_cannot_be_frozen_is_destroyed()
    {
        await using var plane = new Plane(_time);
        using var freezer = NewFreezer(plane);
        await plane.InvokeAsync();
        plane.Engine.Last.OnLifecycle = what => what == "freeze" ? throw new IOException("no cgroup") : Task.CompletedTask;
        _time.Advance(20);
        await freezer.RunOnceAsync(default);
        await plane.SettleAsync();
        plane.Engine.Live.ShouldBe(0);
        plane.Pools.Statistics().Live.ShouldBe(0);
    }

    [Fact]
    public async Task Freezing_can_be_switched_off()
    {
        await using var plane = new Plane(_time, new SandboxOptions { FreezeAfterMs = -1 });
        using var freezer = NewFreezer(plane);
        await plane.InvokeAsync();
        _time.Advance(100_000);
        await freezer.RunOnceAsync(default);
        plane.Engine.Last.Freezes.ShouldBe(0);
    }

    private IdleFreezer NewFreezer(Plane plane) => new(plane.Pools, plane.Engines, _time, NullLogger<IdleFreezer>.Instance);
}
