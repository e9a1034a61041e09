using Flint.Runtime.Loops;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Pooling;

/// <summary>
/// Freezes sandboxes that have been idle for the grace. One loop for all of them, so that returning a sandbox costs no timer: it ticks at the grace's
/// length while there is traffic, and sleeps until the next return when there has been none for a while.
/// </summary>
internal sealed partial class IdleFreezer : BackgroundLoop
{
    /// <summary>Ticks without work before it sleeps: waking it costs a call on the return path, so not at every pause.</summary>
    private const int TicksBeforeSleep = 50;
    /// <summary>An engine that takes longer does not hold up the other sandboxes.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly SandboxPools _pools;
    private readonly EngineRegistry _engines;
    private readonly ILogger<IdleFreezer> _logger;
    private int _quietTicks;

    public IdleFreezer(SandboxPools pools, EngineRegistry engines, TimeProvider time, ILogger<IdleFreezer> logger)
        : base("idle-freezer", Timeout.InfiniteTimeSpan, time, logger)
    {
        _pools = pools;
        _engines = engines;
        _logger = logger;
        pools.FreezeWanted = Wake;
    }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        if (_pools.FreezeAfter == Timeout.InfiniteTimeSpan)
        {
            return new LoopRun(0);
        }
        var (due, more) = _pools.TakeFreezable(maySleep: _quietTicks >= TicksBeforeSleep);
        _quietTicks = due is null ? _quietTicks + 1 : 0;
        List<Task>? slow = null;
        foreach (var slot in due ?? [])
        {
            var freeze = FreezeAsync(slot, cancellationToken);
            if (!freeze.IsCompleted)
            {
                (slow ??= []).Add(freeze);
            }
        }
        if (slow is not null)
        {
            await Task.WhenAll(slow).WaitAsync(Patience, Time, cancellationToken);
        }
        return new LoopRun(due?.Count ?? 0, more ? _pools.FreezeAfter : null);
    }

    private async Task FreezeAsync(PooledSandbox slot, CancellationToken cancellationToken)
    {
        try
        {
            if (_engines.CanFreeze(slot.Spec.Engine))
            {
                await slot.Sandbox!.CompleteFreezeAsync(cancellationToken);
            }
        }
        catch (EngineException exception)
        {
            // One sandbox that cannot be frozen is destroyed; the others go on.
            LogNotFrozen(_logger, exception, slot.Sandbox!.Id);
            _pools.DropIdle(slot);
        }
    }

    [LoggerMessage(1211, LogLevel.Warning, "Sandbox {SandboxId} could not be frozen and is destroyed")]
    private static partial void LogNotFrozen(ILogger logger, Exception exception, string sandboxId);
}
