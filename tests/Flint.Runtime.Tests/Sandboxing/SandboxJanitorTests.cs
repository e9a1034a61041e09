using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Runtime.Tests.Sandboxing;

public sealed class SandboxJanitorTests
{
    private readonly FakeEngine _engine = new();
    private readonly SandboxJanitor _janitor = new(TimeProvider.System, NullLogger<SandboxJanitor>.Instance);

    [Fact]
    public async Task A_failed_destroy_is_counted_and_retried_until_it_works()
    {
        var (guard, inner) = await NewAsync();
        inner.OnLifecycle = _ => throw new IOException("device busy");
        var gone = new TestSignal();
        _janitor.Discard(guard, gone.Set);
        await Eventually.True(() => _janitor.FailedAttempts == 1, "the first attempt has failed");
        (_janitor.Pending, _janitor.Leftover).ShouldBe((1, 1));
        await _janitor.RunOnceAsync(default);
        _janitor.FailedAttempts.ShouldBe(2);
        gone.IsSet.ShouldBeFalse();

        inner.OnLifecycle = _ => Task.CompletedTask;
        await _janitor.RunOnceAsync(default);
        await gone.WaitAsync();
        (_janitor.Pending, _janitor.Leftover, _janitor.Destroyed).ShouldBe((0, 0, 1));
        inner.Destroyed.ShouldBeTrue();
    }

    [Fact]
    public async Task Every_callback_runs_exactly_once_however_often_a_sandbox_is_discarded()
    {
        var calls = 0;
        for (var round = 0; round < 100; round++)
        {
            var (guard, _) = await NewAsync();
            await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() => _janitor.Discard(guard, () => Interlocked.Increment(ref calls)))));
        }
        await Eventually.True(() => Volatile.Read(ref calls) == 400, "all callbacks have run");
        _janitor.Discard((await NewAsync()).Guard);
        await Eventually.True(() => _janitor.Pending == 0, "all are gone");
        calls.ShouldBe(400);
        _engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task A_sandbox_that_is_gone_already_calls_back_at_once()
    {
        var (guard, _) = await NewAsync();
        await guard.DestroyAsync();
        var called = false;
        _janitor.Discard(guard, () => called = true);
        called.ShouldBeTrue();
    }

    [Fact]
    public async Task Draining_retries_and_reports_what_is_left()
    {
        var (guard, inner) = await NewAsync();
        inner.OnLifecycle = _ => throw new IOException("never");
        _janitor.Discard(guard);
        using var patience = new CancellationTokenSource(TimeSpan.FromMilliseconds(300));
        (await _janitor.DrainAsync(patience.Token)).ShouldBe(1);
        inner.DestroyCalls.ShouldBeGreaterThan(1);
    }

    private async Task<(GuardedSandbox Guard, FakeSandbox Inner)> NewAsync()
    {
        var inner = (FakeSandbox)await _engine.CreateAsync(new SandboxSpec
        {
            TenantId = "default",
            Runtime = "python3.11",
            CodeDirectory = "/code",
            MemoryMb = 128,
            TmpMb = 512,
            Environment = new Dictionary<string, string>(),
        }, default);
        return (new GuardedSandbox(inner, _ => { }), inner);
    }
}
