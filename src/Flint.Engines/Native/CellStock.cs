using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>
/// Keeps cells ready ahead of demand, per tenant, so that making one is off the request path. Makes a bounded number at a time: creation
/// gets slower for everybody when many run at once. Thread-safe.
/// </summary>
/// <param name="session">The launcher that makes them; the stock ends with it.</param>
/// <param name="readyPerTenant">Cells kept ready for each tenant that has taken one.</param>
internal sealed class CellStock(LauncherSession session, int readyPerTenant)
{
    private const int MaxMaking = 4;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Shelf> _shelves = new(StringComparer.Ordinal);
    private int _making;

    /// <summary>Begins to keep cells for a tenant.</summary>
    public void Prepare(string tenant)
    {
        lock (_lock)
        {
            RefillLocked(ShelfLocked(tenant));
        }
    }

    /// <summary>Takes a ready cell, or waits in line for the next one. Throws <see cref="EngineException"/> when it cannot be made.</summary>
    public async Task<Cell> TakeAsync(string tenant, CancellationToken cancellationToken)
    {
        Waiter waiter;
        lock (_lock)
        {
            var shelf = ShelfLocked(tenant);
            while (shelf.Ready.TryDequeue(out var ready))
            {
                if (!ready.Gone.IsCompleted)
                {
                    RefillLocked(shelf);
                    return ready;
                }

                ready.Dispose();
            }

            waiter = new Waiter();
            shelf.Waiters.Enqueue(waiter);
            RefillLocked(shelf);
        }

        await using var registration = cancellationToken.UnsafeRegister(static (state, token) => ((Waiter)state!).TrySetCanceled(token), waiter);
        return await waiter.Task;
    }

    private Shelf ShelfLocked(string tenant)
    {
        if (!_shelves.TryGetValue(tenant, out var shelf))
        {
            _shelves[tenant] = shelf = new Shelf(tenant);
        }

        return shelf;
    }

    private void RefillLocked(Shelf shelf)
    {
        while (_making < MaxMaking && shelf.Making + shelf.Ready.Count < readyPerTenant + shelf.Waiters.Count)
        {
            _making++;
            shelf.Making++;
            shelf.Tasks.Add(MakeAsync(shelf));
            shelf.Tasks.RemoveAll(static task => task.IsCompleted);
        }
    }

    private async Task MakeAsync(Shelf shelf)
    {
        var cell = session.MakeCell(shelf.Tenant);
        EngineException? failure = null;
        try
        {
            await cell.Ready;
        }
        catch (EngineException exception)
        {
            failure = exception;
        }

        lock (_lock)
        {
            _making--;
            shelf.Making--;
            if (failure is null)
            {
                PutLocked(shelf, cell);
                RefillAllLocked();
                return;
            }

            // No refill after a failure: the next request tries again, so a broken host is not hammered. Nobody may wait on for a cell that is not being made.
            while (shelf.Waiters.TryDequeue(out var waiter) && (!waiter.TrySetException(failure) || shelf.Making == 0))
            {
            }
        }

        await cell.Gone.ContinueWith(static (_, state) => ((Cell)state!).Dispose(), cell, CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    private static void PutLocked(Shelf shelf, Cell cell)
    {
        while (shelf.Waiters.TryDequeue(out var waiter))
        {
            if (waiter.TrySetResult(cell))
            {
                return;
            }
        }

        shelf.Ready.Enqueue(cell);
    }

    private void RefillAllLocked()
    {
        foreach (var shelf in _shelves.Values)
        {
            RefillLocked(shelf);
        }
    }

    private sealed class Waiter() : TaskCompletionSource<Cell>(TaskCreationOptions.RunContinuationsAsynchronously);

    private sealed class Shelf(string tenant)
    {
        public string Tenant { get; } = tenant;
        public Queue<Cell> Ready { get; } = new();
        public Queue<Waiter> Waiters { get; } = new();
        public List<Task> Tasks { get; } = [];
        public int Making { get; set; }
    }
}
