namespace Flint.Engines.Native;

/// <summary>How a stock makes cells and gets rid of them.</summary>
/// <param name="Make">Begins to make one; the callback is called once, never on the caller's stack, when it is ready or has failed.</param>
/// <param name="CanMake">Whether there is what forks the guests of this kind.</param>
/// <param name="Discard">Kills one that nobody has used and closes its descriptors.</param>
internal sealed record CellSource(Action<CellKind, Action<Cell>> Make, Func<CellKind, bool> CanMake, Action<Cell> Discard);

/// <summary>One request that waits for a cell.</summary>
internal sealed class CellWaiter() : TaskCompletionSource<Cell?>(TaskCreationOptions.RunContinuationsAsynchronously);

/// <summary>The ready cells of one kind and the requests that wait for one. Everything under the stock's lock.</summary>
internal sealed class CellShelf(CellKind kind, DemandMeter demand)
{
    public CellKind Kind { get; } = kind;
    public DemandMeter Demand { get; } = demand;
    public Queue<Cell> Ready { get; } = new();
    public Queue<CellWaiter> Waiters { get; } = new();
    public int Making { get; set; }

    /// <summary>The last one could not be made: none is made ahead until a request has got one, so that a broken host is not hammered.</summary>
    public bool Failed { get; set; }

    /// <summary>Requests in line that have not given up.</summary>
    public int Waiting
    {
        get
        {
            while (Waiters.TryPeek(out var first) && first.Task.IsCompleted)
            {
                Waiters.Dequeue();
            }

            return Waiters.Count;
        }
    }

    public bool LacksForWaiters => Making < Waiting;

    public bool IsEmpty => Ready.Count == 0 && Making == 0 && Waiting == 0;

    /// <summary>The one that has waited longest, so that those of a retired zygote are used up; null when there is none.</summary>
    public Cell? TakeReady()
    {
        while (Ready.TryDequeue(out var cell))
        {
            if (cell.IsAlive)
            {
                return cell;
            }

            cell.Dispose();
        }

        return null;
    }

    public void Put(Cell cell)
    {
        Failed = false;
        while (Waiters.TryDequeue(out var waiter))
        {
            if (waiter.TrySetResult(cell))
            {
                return;
            }
        }

        Ready.Enqueue(cell);
    }

    /// <summary>One that could not be made is the failure of one request, if any waits; the others' are still being made, or are tried next.</summary>
    public void Fail(CellFailure failure, uint zygote)
    {
        Failed = true;
        while (Waiters.TryDequeue(out var waiter) && !waiter.TrySetException(new CellFailedException(failure, zygote)))
        {
        }
    }

    public void Trim(int target, List<Cell> surplus)
    {
        // Through the whole queue once: those that died as they lay there go too.
        for (var left = Ready.Count; left > 0; left--)
        {
            var cell = Ready.Dequeue();
            if (cell.IsAlive && Ready.Count < target)
            {
                Ready.Enqueue(cell);
            }
            else
            {
                surplus.Add(cell);
            }
        }
    }

    public void Close(List<Cell> left)
    {
        left.AddRange(Ready);
        Ready.Clear();
        while (Waiters.TryDequeue(out var waiter))
        {
            waiter.TrySetException(new CellFailedException(CellFailure.LauncherEnded));
        }
    }
}
