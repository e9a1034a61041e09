using Flint.Runtime.Invocation;
using Flint.Runtime.Loops;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Flint.Runtime.Hosting;

/// <summary>
/// Starts and stops the invocation plane. Start: engines, then loops. Stop: take no more work, let what runs finish for a bounded time, kill the
/// rest, destroy every sandbox, stop the engines, and say what was left.
/// </summary>
internal sealed partial class RuntimeHost(
    EngineRegistry engines, SandboxPools pools, Dispatcher dispatcher, SandboxJanitor janitor, IdleFreezer freezer, IdlePruner pruner,
    IOptions<SandboxOptions> options, TimeProvider time, ILogger<RuntimeHost> logger) : IHostedService
{
    /// <summary>For killed invocations to give their answers.</summary>
    private static readonly TimeSpan AbortPatience = TimeSpan.FromSeconds(5);
    /// <summary>For the host to prove all sandboxes gone. Whatever is left dies with the engines.</summary>
    private static readonly TimeSpan DestroyPatience = TimeSpan.FromSeconds(10);

    private readonly BackgroundLoop[] _loops = [janitor, freezer, pruner];

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        await engines.StartAsync(cancellationToken);
        foreach (var loop in _loops)
        {
            await loop.StartAsync(cancellationToken);
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        dispatcher.StopTaking();
        var running = dispatcher.InFlight;
        var finished = await WaitAsync(dispatcher.Drained, TimeSpan.FromMilliseconds(options.Value.DrainTimeoutMs), cancellationToken);
        var killed = finished ? 0 : dispatcher.InFlight;
        pools.Stop();
        if (!finished)
        {
            await dispatcher.AbortAsync();
            await WaitAsync(dispatcher.Drained, AbortPatience, CancellationToken.None);
        }
        foreach (var loop in _loops)
        {
            await loop.StopAsync(cancellationToken);
        }
        using var patience = new CancellationTokenSource(DestroyPatience, time);
        var left = await janitor.DrainAsync(patience.Token);
        // Their sandboxes are gone, so they have nothing to wait for.
        await WaitAsync(pools.RenewalsEnded, DestroyPatience, CancellationToken.None);
        await engines.DisposeAsync();
        LogStopped(logger, running - killed, killed, left);
    }

    private async Task<bool> WaitAsync(Task task, TimeSpan atMost, CancellationToken cancellationToken)
    {
        await task.WaitAsync(atMost, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return task.IsCompleted;
    }

    [LoggerMessage(1401, LogLevel.Information,
        "The runtime stopped: {Finished} running invocations finished, {Killed} were killed, {Left} sandboxes were not proved gone")]
    private static partial void LogStopped(ILogger logger, int finished, int killed, int left);
}
