using Flint.Data.Queue;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// What this worker has claimed: each item has a place while it runs, and is known until its settlement is written or dropped. Thread-safe.
/// </summary>
internal sealed class RunningItems
{
    private readonly Lock _lock = new();
    /// <summary>By its lease too: an item that was lost may come again while its old run is still being killed. Under the lock.</summary>
    private readonly Dictionary<LeasedItem, RunningItem> _known = [];
    private TaskCompletionSource? _idle;
    private int _running;

    /// <summary>A place became free. Set once, by the producer; must be short.</summary>
    public Action? PlaceFreed { get; set; }

    /// <summary>Those that have a place.</summary>
    public int Running => Volatile.Read(ref _running);

    /// <summary>Those whose run is over and whose settlement is not written yet.</summary>
    public int Unsettled
    {
        get
        {
            lock (_lock)
            {
                return _known.Count - _running;
            }
        }
    }

    public void Add(RunningItem item)
    {
        lock (_lock)
        {
            _known.Add(item.Lease, item);
            _running++;
        }
    }

    /// <summary>Its run is over; its settlement may still be on the way.</summary>
    public void Ended(RunningItem item)
    {
        TaskCompletionSource? idle = null;
        lock (_lock)
        {
            if (--_running == 0)
            {
                (idle, _idle) = (_idle, null);
            }
        }

        idle?.TrySetResult();
        PlaceFreed?.Invoke();
    }

    /// <summary>It is settled, or nothing is to be settled.</summary>
    public void Forget(RunningItem item)
    {
        lock (_lock)
        {
            _known.Remove(item.Lease);
        }

        item.Dispose();
    }

    /// <summary>What is in hand under one term.</summary>
    public IReadOnlyList<RunningItem> Of(WorkerTerm term)
    {
        lock (_lock)
        {
            return [.. _known.Values.Where(item => item.Term == term)];
        }
    }

    public bool Knows(LeasedItem lease)
    {
        lock (_lock)
        {
            return _known.ContainsKey(lease);
        }
    }

    /// <summary>The item was cancelled in the store: if this worker runs it, it is killed. False when it is not here.</summary>
    public bool Cancel(string tenantId, string id)
    {
        RunningItem[] found;
        lock (_lock)
        {
            found = [.. _known.Values.Where(item => item.Item.Id == id && item.Item.TenantId == tenantId)];
        }

        foreach (var item in found)
        {
            item.Cancel();
        }

        return found.Length > 0;
    }

    /// <summary>Kills all that runs; each is settled as its executor finds.</summary>
    public void AbortAll()
    {
        RunningItem[] all;
        lock (_lock)
        {
            all = [.. _known.Values];
        }

        foreach (var item in all)
        {
            item.Abort();
        }
    }

    /// <summary>Completes when no place is taken.</summary>
    public Task IdleAsync()
    {
        lock (_lock)
        {
            return _running == 0
                ? Task.CompletedTask
                : (_idle ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }
}
