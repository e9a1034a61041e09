using Flint.Data.Queue;

namespace Flint.Server.Queue.Workers;

/// <summary>One claimed item in this worker's hands, from the claim until it is settled or given up. Thread-safe.</summary>
internal sealed class RunningItem : IDisposable
{
    private readonly CancellationTokenSource _aborting;
    private readonly Lock _lock = new();
    private volatile bool _cancelled;
    private bool _disposed;

    public RunningItem(ClaimedItem item, WorkerTerm term)
    {
        Item = item;
        Term = term;
        _aborting = CancellationTokenSource.CreateLinkedTokenSource(term.Lost);
        Aborting = _aborting.Token;
    }

    public ClaimedItem Item { get; }

    public WorkerTerm Term { get; }

    public LeasedItem Lease => new(Item.TenantId, Item.Id, Item.LeaseNo);

    /// <summary>Fires when it must not run on.</summary>
    public CancellationToken Aborting { get; }

    /// <summary>It is this worker's no more (cancelled, or the lease was lost): what becomes of the run is told to nobody.</summary>
    public bool IsForfeited => _cancelled || Term.Lost.IsCancellationRequested;

    /// <summary>It was cancelled in the store: its run is killed and nothing is settled.</summary>
    public void Cancel()
    {
        _cancelled = true;
        Abort();
    }

    /// <summary>Kills its run; it is settled as its executor finds.</summary>
    public void Abort()
    {
        lock (_lock)
        {
            if (!_disposed)
            {
                // Its callbacks belong to others, and run elsewhere than under this lock.
                _ = _aborting.CancelAsync();
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _aborting.Dispose();
        }
    }
}
