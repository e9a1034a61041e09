namespace Flint.Engines.Native;

/// <summary>
/// Keeps cells ready ahead of demand, so that making one is off the request path, and lets requests wait in line when demand is ahead. Cells of different kinds lie on
/// different shelves; shelves take turns, those with waiting requests first. A bounded number is being made at once: making one is mostly waiting for the kernel,
/// yet gets slower for everybody when too many run. Thread-safe.
/// </summary>
/// <param name="source">The launcher.</param>
/// <param name="smallest">Cells kept ready of each kind that is in use; 0 keeps none.</param>
/// <param name="time">Measures demand.</param>
internal sealed class CellStock(CellSource source, int smallest, TimeProvider time) : IDisposable
{
    /// <summary>
    /// Being made at once. Measured with bursts of 200 on two busy cores with cgroup v1, where each waits for the kernel: with 4 they took nearly twice as long, with 48 no less.
    /// </summary>
    public const int MaxMaking = 16;

    /// <summary>The most that demand makes a shelf keep: memory of about 1 MB each.</summary>
    public const int Largest = 32;

    /// <summary>A kind that nobody asked for in this time keeps none ready any more.</summary>
    public static readonly TimeSpan IdleLimit = TimeSpan.FromMinutes(5);

    private readonly Lock _lock = new();
    private readonly Dictionary<CellKind, CellShelf> _shelves = [];
    private readonly List<CellShelf> _turns = [];
    private int _turn;
    private int _making;
    private bool _closed;

    /// <summary>Cells that are ready now.</summary>
    public int Ready
    {
        get
        {
            lock (_lock)
            {
                return _turns.Sum(static shelf => shelf.Ready.Count);
            }
        }
    }

    /// <summary>
    /// A ready cell, or the next one in line. Null when its zygote is not there and no cell of it is left. Throws <see cref="CellFailedException"/> when it
    /// cannot be made. Nothing is made in place of what was taken until <see cref="Refill"/>.
    /// </summary>
    public async ValueTask<Cell?> TakeAsync(CellKind kind, CancellationToken cancellationToken)
    {
        CellWaiter waiter;
        lock (_lock)
        {
            if (_closed)
            {
                throw new CellFailedException(CellFailure.LauncherEnded);
            }

            var shelf = ShelfLocked(kind);
            shelf.Demand.Count(time.GetTimestamp());
            if (shelf.TakeReady() is { } ready)
            {
                return ready;
            }

            if (!source.CanMake(kind))
            {
                return null;
            }

            waiter = new CellWaiter();
            shelf.Waiters.Enqueue(waiter);
            RefillLocked();
        }

        await using var registration = cancellationToken.UnsafeRegister(static (state, token) => ((CellWaiter)state!).TrySetCanceled(token), waiter);
        return await waiter.Task;
    }

    /// <summary>Begins to make what is missing.</summary>
    public void Refill()
    {
        lock (_lock)
        {
            RefillLocked();
        }
    }

    /// <summary>Begins again to make cells of a runtime whose zygote has come back.</summary>
    public void Retry(string zygote)
    {
        lock (_lock)
        {
            foreach (var shelf in _turns.Where(shelf => shelf.Kind.Zygote == zygote))
            {
                shelf.Failed = false;
            }

            RefillLocked();
        }
    }

    /// <summary>Empties shelves that are not in use, and takes away what demand no longer needs. Returns how many cells that were.</summary>
    public int Trim()
    {
        var now = time.GetTimestamp();
        List<Cell> surplus = [];
        lock (_lock)
        {
            foreach (var shelf in _turns)
            {
                shelf.Trim(TargetLocked(shelf, now), surplus);
            }

            foreach (var shelf in _turns.Where(shelf => shelf.IsEmpty && IsIdle(shelf, now)).ToList())
            {
                _turns.Remove(shelf);
                _shelves.Remove(shelf.Kind);
            }
        }

        surplus.ForEach(source.Discard);
        return surplus.Count;
    }

    /// <summary>Ends the stock with its launcher: nobody waits on, and no descriptor is kept.</summary>
    public void Dispose()
    {
        List<Cell> left = [];
        lock (_lock)
        {
            _closed = true;
            foreach (var shelf in _turns)
            {
                shelf.Close(left);
            }
        }

        left.ForEach(source.Discard);
    }

    private CellShelf ShelfLocked(CellKind kind)
    {
        if (!_shelves.TryGetValue(kind, out var shelf))
        {
            _shelves[kind] = shelf = new CellShelf(kind, new DemandMeter(time));
            _turns.Add(shelf);
        }

        return shelf;
    }

    private static bool IsIdle(CellShelf shelf, long now) => shelf.Demand.IdleFor(now) >= IdleLimit;

    private int TargetLocked(CellShelf shelf, long now) =>
        smallest == 0 || IsIdle(shelf, now) ? 0 : Math.Max(smallest, Math.Min(shelf.Demand.InTenthOfSecond(now), Largest));

    private void RefillLocked()
    {
        if (_closed)
        {
            return;
        }

        var now = time.GetTimestamp();
        while (_making < MaxMaking && (NextLocked(static shelf => shelf.LacksForWaiters) ?? NextLocked(shelf => LacksForStockLocked(shelf, now))) is { } shelf)
        {
            _making++;
            shelf.Making++;
            source.Make(shelf.Kind, Settled);
        }
    }

    private bool LacksForStockLocked(CellShelf shelf, long now) =>
        !shelf.Failed && shelf.Making + shelf.Ready.Count < TargetLocked(shelf, now) + shelf.Waiting && source.CanMake(shelf.Kind);

    /// <summary>The next shelf in turn that lacks something.</summary>
    private CellShelf? NextLocked(Func<CellShelf, bool> lacks)
    {
        for (var i = 0; i < _turns.Count; i++)
        {
            var shelf = _turns[(_turn + i) % _turns.Count];
            if (lacks(shelf))
            {
                _turn = (_turn + i + 1) % _turns.Count;
                return shelf;
            }
        }

        return null;
    }

    /// <summary>On the launcher's event thread.</summary>
    private void Settled(Cell cell)
    {
        var unwanted = false;
        lock (_lock)
        {
            _making--;
            var shelf = ShelfLocked(cell.Kind);
            shelf.Making--;
            if (cell.Failure is { } failure)
            {
                shelf.Fail(failure, cell.Zygote);
            }
            else if (_closed)
            {
                unwanted = true;
            }
            else
            {
                shelf.Put(cell);
            }

            RefillLocked();
        }

        if (unwanted)
        {
            source.Discard(cell);
        }
    }
}
