using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

/// <summary>They count the descriptors of the whole process, so nothing else may run beside them.</summary>
[CollectionDefinition("descriptors", DisableParallelization = true)]
public sealed class DescriptorTestsRunAlone;

[Collection("descriptors")]
public sealed class DescriptorTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly FakeLauncherHost _host = new();

    public void Dispose() => _host.Dispose();

    /// <summary>Behaviours of the launcher, each with what its users do: some destroy in order, some too late, some not at all.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("exit-by-itself")]
    [InlineData("fork-fails")]
    [InlineData("fail-cells")]
    [InlineData("zygotes-fail")]
    [InlineData("zygotes-die-at-guest")]
    [InlineData("unsafe")]
    [InlineData("renew-fails")]
    [InlineData("fork-exits")]
    [InlineData("die-at-guest")]
    [InlineData("linger")]
    public async Task No_descriptor_is_left_in_any_order_of_failures(string behaviour)
    {
        await RunAsync(""); // what is opened once and for all
        await SettleAsync();
        var before = Descriptors.Open();
        await RunAsync(behaviour);
        await SettleAsync();
        await Eventually.True(() => Descriptors.Open() == before, $"as before: {before}", boundSeconds: 5).ContinueWith(static _ => { }, TaskScheduler.Default);
        Descriptors.Open().ShouldBe(before);
    }

    private async Task RunAsync(string behaviour)
    {
        var engine = await FakeLauncherHost.StartAsync(_host.NewEngine(behaviour, new NativeEngineOptions { ReadySandboxes = 3 }));
        var late = await UseAsync(engine, _host.Spec());
        await IgnoreAsync(async () => await (await UseAsync(engine, _host.Spec() with { Start = StartMode.Exec }))!.DestroyAsync().WaitAsync(Limit));
        var template = await UseAsync(engine, _host.Spec() with { Snapshot = true });
        ISandbox? fork = null;
        await IgnoreAsync(async () =>
        {
            fork = await template!.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit);
            await fork.DestroyAsync().WaitAsync(Limit);
            fork = await template.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit);
        });
        await engine.DisposeAsync();
        foreach (var sandbox in new[] { fork, template, late })
        {
            await IgnoreAsync(() => sandbox?.DestroyAsync().WaitAsync(Limit) ?? Task.CompletedTask);
        }
    }

    private static async Task<ISandbox?> UseAsync(ISandboxEngine engine, SandboxSpec spec)
    {
        ISandbox? sandbox = null;
        await IgnoreAsync(async () => sandbox = await engine.CreateAsync(spec, CancellationToken.None).WaitAsync(Limit));
        return sandbox;
    }

    private static async Task IgnoreAsync(Func<Task> action)
    {
        try
        {
            await action();
        }
        catch (Exception exception) when (exception is EngineException or SnapshotUnsafeException or NullReferenceException)
        {
            // What fails is the launcher's choice; what is left is what counts.
        }
    }

    // What only a finalizer would close is not leaked for good, yet must not be counted as closed either: so no collection here, only what is under way.
    private static Task SettleAsync() => Eventually.True(static () => ThreadPool.PendingWorkItemCount == 0, "the thread pool is idle");
}
