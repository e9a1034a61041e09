using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;

namespace Flint.Runtime.Tests.Sandboxing;

public sealed class GuardedSandboxTests
{
    private readonly FakeEngine _engine = new();
    private readonly List<GuardedSandbox> _failed = [];

    [Fact]
    public async Task Freeze_and_thaw_are_idempotent()
    {
        var (guard, inner) = await NewAsync();
        await guard.FreezeAsync(default);
        await guard.FreezeAsync(default);
        inner.Freezes.ShouldBe(1);
        await guard.ThawAsync(default);
        await guard.ThawAsync(default);
        inner.Thaws.ShouldBe(1);
        guard.ThawAsync(default).AsTask().IsCompletedSuccessfully.ShouldBeTrue();
    }

    [Fact]
    public async Task A_thaw_overtakes_a_freeze_that_was_only_announced()
    {
        var (guard, inner) = await NewAsync();
        guard.TryBeginFreeze().ShouldBeTrue();
        await guard.ThawAsync(default);
        // The announced freeze arrives late and finds that somebody uses the sandbox.
        await guard.CompleteFreezeAsync(default);
        inner.Freezes.ShouldBe(0);
        guard.IsFrozen.ShouldBeFalse();
        guard.TryBeginFreeze().ShouldBeTrue();
        guard.TryBeginFreeze().ShouldBeFalse();
    }

    [Fact]
    public async Task A_thaw_waits_for_a_freeze_that_is_under_way()
    {
        var (guard, inner) = await NewAsync();
        var gate = new TaskCompletionSource();
        inner.OnLifecycle = what => what == "freeze" ? gate.Task : Task.CompletedTask;
        var freeze = guard.FreezeAsync(default).AsTask();
        var thaw = guard.ThawAsync(default).AsTask();
        thaw.IsCompleted.ShouldBeFalse();
        gate.SetResult();
        await freeze;
        await thaw;
        (inner.Freezes, inner.Thaws, inner.Frozen).ShouldBe((1, 1, false));
    }

    [Theory]
    [InlineData("freeze")]
    [InlineData("thaw")]
    public async Task The_first_error_makes_it_dead_and_hands_it_over(string where)
    {
        var (guard, inner) = await NewAsync();
        if (where == "thaw")
        {
            await guard.FreezeAsync(default);
        }
        inner.OnLifecycle = what => what == where ? throw new IOException("gone") : Task.CompletedTask;
        var call = where == "thaw" ? guard.ThawAsync(default) : guard.FreezeAsync(default);
        (await Should.ThrowAsync<EngineException>(async () => await call)).Message.ShouldContain("gone");
        guard.IsDead.ShouldBeTrue();
        _failed.ShouldBe([guard]);
    }

    [Theory]
    [InlineData("drain")]
    [InlineData("peak")]
    public async Task A_read_that_fails_makes_it_dead_too(string what)
    {
        var (guard, inner) = await NewAsync();
        inner.ReadFailure = new IOException("gone");
        var failure = what == "drain"
            ? await Should.ThrowAsync<EngineException>(async () => await guard.DrainOutputAsync(default))
            : Should.Throw<EngineException>(() => guard.ReadPeakMemory());
        failure.Message.ShouldContain("gone");
        guard.IsDead.ShouldBeTrue();
        _failed.ShouldBe([guard]);
    }

    [Fact]
    public async Task A_dead_sandbox_refuses_everything_but_destroy()
    {
        var (guard, inner) = await NewAsync();
        await guard.DestroyAsync();
        await guard.DestroyAsync();
        inner.DestroyCalls.ShouldBe(1);
        guard.IsGone.ShouldBeTrue();
        Should.Throw<EngineException>(() => guard.AttachOutput(null));
        Should.Throw<EngineException>(() => guard.ResetPeakMemory());
        Should.Throw<EngineException>(() => guard.ReadPeakMemory());
        await Should.ThrowAsync<EngineException>(async () => await guard.ThawAsync(default));
        await Should.ThrowAsync<EngineException>(async () => await guard.DrainOutputAsync(default));
        guard.TryBeginFreeze().ShouldBeFalse();
        (await guard.Exited).KilledByPlatform.ShouldBeTrue();
    }

    [Fact]
    public async Task Destroy_calls_share_one_attempt_and_a_failed_one_is_made_again()
    {
        var (guard, inner) = await NewAsync();
        var gate = new TaskCompletionSource();
        inner.OnLifecycle = _ => gate.Task;
        var (first, second) = (guard.DestroyAsync(), guard.DestroyAsync());
        gate.SetException(new IOException("busy"));
        await Should.ThrowAsync<EngineException>(first);
        await Should.ThrowAsync<EngineException>(second);
        inner.DestroyCalls.ShouldBe(1);
        guard.IsGone.ShouldBeFalse();

        inner.OnLifecycle = _ => Task.CompletedTask;
        await guard.DestroyAsync();
        inner.DestroyCalls.ShouldBe(2);
        guard.IsGone.ShouldBeTrue();
    }

    [Fact]
    public async Task Lifecycle_calls_never_overlap()
    {
        var (guard, inner) = await NewAsync();
        var (inside, overlapped) = (0, false);
        inner.OnLifecycle = async what =>
        {
            if (what != "destroy")
            {
                overlapped |= Interlocked.Increment(ref inside) > 1;
                await Task.Yield();
                Interlocked.Decrement(ref inside);
            }
        };
        await Task.WhenAll(Enumerable.Range(0, 200).Select(i => Task.Run(async () =>
        {
            await (i % 2 == 0 ? guard.FreezeAsync(default) : guard.ThawAsync(default));
        })));
        overlapped.ShouldBeFalse();
        await guard.ThawAsync(default);
        inner.Frozen.ShouldBeFalse();
    }

    private async Task<(GuardedSandbox Guard, FakeSandbox Inner)> NewAsync()
    {
        await _engine.CreateAsync(new SandboxSpec
        {
            TenantId = "default",
            Runtime = "python3.11",
            CodeDirectory = "/code",
            MemoryMb = 128,
            TmpMb = 512,
            Environment = new Dictionary<string, string>(),
        }, default);
        return (new GuardedSandbox(_engine.Last, _failed.Add), _engine.Last);
    }
}
