using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Pooling;

/// <summary>Snapshots: the forks of a template, one at a time, the next one made ahead and off the answer's path.</summary>
public sealed partial class SandboxPools
{
    /// <summary>A renewal takes a few milliseconds; one that takes so long is stuck, and the whole is destroyed.</summary>
    private static readonly TimeSpan RenewPatience = TimeSpan.FromSeconds(10);

    private readonly TaskCompletionSource _renewalsEnded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    /// <summary>Renewals that run, also those whose sandbox was closed under them. Under _lock.</summary>
    private int _renewals;

    /// <summary>Completes when the pools are stopped and no renewal runs any more.</summary>
    internal Task RenewalsEnded => _renewalsEnded.Task;

    /// <summary>
    /// Makes the initialised process of a new sandbox its template, with the first fork. Throws <see cref="SnapshotUnsafeException"/>,
    /// <see cref="EngineException"/>, or the token's cancellation; the sandbox must then be discarded.
    /// </summary>
    internal async Task ForkFirstAsync(PooledSandbox slot, CancellationToken cancellationToken)
    {
        var fork = await ForkAsync(slot.Sandbox!, cancellationToken);
        lock (_lock)
        {
            slot.ForkedLocked(fork);
        }
        Watch(slot, fork);
    }

    private async Task<GuardedSandbox> ForkAsync(GuardedSandbox whole, CancellationToken cancellationToken)
    {
        var template = whole.Template ?? throw new EngineException(
            $"Sandbox {whole.Id} cannot be kept as a snapshot: {whole.StartReason ?? "its engine made no template of it"}.");
        Task<ISandbox>? forking = null;
        try
        {
            forking = template.ForkAsync(cancellationToken);
            return Guard(await forking.WaitAsync(cancellationToken));
        }
        catch (OperationCanceledException) when (forking is { IsFaulted: false, IsCanceled: false })
        {
            // The engine did not listen. The late fork dies with the whole; its descriptors are let go here.
            _ = forking.ContinueWith(
                late => _janitor.Discard(Guard(late.Result)),
                CancellationToken.None, TaskContinuationOptions.OnlyOnRanToCompletion, TaskScheduler.Default);
            throw;
        }
        catch (Exception exception) when (exception is not EngineException and not SnapshotUnsafeException and not OperationCanceledException)
        {
            throw new EngineException($"Sandbox {whole.Id} could not be forked: {exception.Message}", exception);
        }
    }

    /// <summary>A fork that fails is destroyed by itself: whether the template is still good shows when it is to be renewed.</summary>
    private GuardedSandbox Guard(ISandbox fork) => new(fork, failed => _janitor.Discard(failed));

    private void RenewLocked(PooledSandbox slot)
    {
        slot.RenewLocked();
        slot.Pool.Renewing++;
        _renewals++;
    }

    /// <summary>Cannot fault. Waits for everything of the old fork to be gone before it asks for the next: one lives at a time.</summary>
    private async Task RenewAsync(PooledSandbox slot)
    {
        // Off the caller's stack: it has an answer to give.
        await Task.Yield();
        GuardedSandbox? next = null;
        try
        {
            using var patience = new CancellationTokenSource(RenewPatience, _time);
            await slot.Fork!.DestroyAsync().WaitAsync(patience.Token);
            next = await ForkAsync(slot.Sandbox!, patience.Token);
        }
        catch (Exception exception)
        {
            // Whatever it was, the whole is destroyed, and the function's next invocation makes another. What its own guest did to it is no news to the operator.
            LogNotRenewed(_logger, slot.Sandbox!.Exited.IsCompleted || slot.State >= PooledSandbox.Phase.Closing ? LogLevel.Debug : LogLevel.Warning,
                exception, slot.Sandbox!.Id);
        }
        EndRenewal(slot, next);
    }

    private void EndRenewal(PooledSandbox slot, GuardedSandbox? next)
    {
        List<PooledSandbox>? discards;
        var wakeFreezer = false;
        bool closed;
        lock (_lock)
        {
            _renewals--;
            closed = slot.State != PooledSandbox.Phase.Renewing;
            if (!closed)
            {
                slot.Pool.Renewing--;
                slot.RenewedLocked(next);
                if (next is null or { Exited.IsCompleted: true } || !MayKeepLocked(slot))
                {
                    CloseLocked(slot);
                }
                else
                {
                    wakeFreezer = KeepLocked(slot);
                }
                ServeWaitersLocked();
            }
            NoteRenewalsEndedLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
        if (next is not null && closed)
        {
            _janitor.Discard(next);
        }
        else if (next is not null)
        {
            Watch(slot, next);
        }
        if (wakeFreezer)
        {
            FreezeWanted?.Invoke();
        }
    }

    private void NoteRenewalsEndedLocked()
    {
        if (_stopped && _renewals == 0)
        {
            _renewalsEnded.TrySetResult();
        }
    }

    [LoggerMessage(EventId = 1202, Message = "The snapshot in sandbox {SandboxId} could not be renewed and is destroyed")]
    private static partial void LogNotRenewed(ILogger logger, LogLevel level, Exception exception, string sandboxId);
}
