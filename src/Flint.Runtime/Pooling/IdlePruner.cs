using Flint.Runtime.Loops;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Pooling;

/// <summary>Destroys idle sandboxes whose lifetime is over, and more of them while the host is short of memory.</summary>
internal sealed partial class IdlePruner(SandboxPools pools, Func<HostMemory> readHost, TimeProvider time, ILogger<IdlePruner> logger)
    : BackgroundLoop("idle-pruner", TimeSpan.FromMilliseconds(500), time, logger)
{
    public override Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var expired = pools.ExpireIdle();
        var evicted = pools.ObserveHost(readHost());
        if (expired + evicted > 0)
        {
            LogPruned(logger, expired, evicted);
        }
        return Task.FromResult(new LoopRun(expired + evicted));
    }

    [LoggerMessage(1221, LogLevel.Debug, "Closed {Expired} idle sandboxes at the end of their lifetime and {Evicted} under memory pressure")]
    private static partial void LogPruned(ILogger logger, int expired, int evicted);
}
