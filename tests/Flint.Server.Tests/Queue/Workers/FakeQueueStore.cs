using Flint.Data;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Queue.Workers;

/// <summary>The queue's contract in memory, as far as a worker needs it, on a test's clock. It can fail, and be held in the middle of a call. Thread-safe.</summary>
internal sealed class FakeQueueStore(ManualTimeProvider time) : IQueueStore
{
    private readonly Lock _lock = new();
    private readonly List<ClaimedItem> _ready = [];
    private readonly Dictionary<LeasedItem, (string Worker, ClaimedItem Item)> _leased = [];
    private readonly Dictionary<string, (WorkerInfo Info, DateTimeOffset Until, bool Drain)> _workers = [];

    /// <summary>When set, every call fails as a database that cannot be reached.</summary>
    public bool Fails { get; set; }

    /// <summary>When set, a call waits for it, after its work was done.</summary>
    public Func<string, Task>? Held { get; set; }

    public TimeSpan? NextDue { get; set; }
    public List<int> Claims { get; } = [];
    public List<IReadOnlyList<Settlement>> Settled { get; } = [];
    public List<string> Registered { get; } = [];
    public List<string> Left { get; } = [];

    /// <summary>Throws for settlements that cannot be stored.</summary>
    public Action<Settlement>? Check { get; set; }

    public IReadOnlyList<Settlement> AllSettled
    {
        get
        {
            lock (_lock)
            {
                return [.. Settled.SelectMany(static batch => batch)];
            }
        }
    }

    public void Add(params ClaimedItem[] items)
    {
        lock (_lock)
        {
            _ready.AddRange(items);
        }
    }

    /// <summary>Ends an item's lease, as a cancel does.</summary>
    public void Drop(string id)
    {
        lock (_lock)
        {
            _leased.Remove(_leased.Keys.Single(lease => lease.Id == id));
        }
    }

    public void End(string workerId)
    {
        lock (_lock)
        {
            _workers.Remove(workerId);
        }
    }

    public bool DrainAsked(string workerId)
    {
        lock (_lock)
        {
            return _workers[workerId].Drain;
        }
    }

    public Task<ClaimResult> ClaimAsync(ClaimRequest request, CancellationToken cancellationToken) => AnswerAsync("claim", () =>
    {
        Claims.Add(request.Places);
        if (!Holds(request.WorkerId))
        {
            return new ClaimResult([], false, null);
        }

        var items = _ready.Take(request.Places).ToArray();
        _ready.RemoveRange(0, items.Length);
        foreach (var item in items)
        {
            _leased[new LeasedItem(item.TenantId, item.Id, item.LeaseNo)] = (request.WorkerId, item);
        }

        return new ClaimResult(items, true, NextDue);
    });

    public Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<Settlement> settlements, CancellationToken cancellationToken) => AnswerAsync("settle", () =>
    {
        foreach (var settlement in settlements)
        {
            Check?.Invoke(settlement);
        }

        Settled.Add(settlements);
        return (IReadOnlyList<bool>)[.. settlements.Select(settlement => _leased.Remove(new LeasedItem(settlement.TenantId, settlement.Id, settlement.LeaseNo)))];
    });

    public Task RegisterAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => AnswerAsync("register", () =>
    {
        Registered.Add(worker.Id);
        _workers[worker.Id] = (worker, time.GetUtcNow() + lease, worker.Draining);
        return true;
    });

    public Task<Renewal> RenewAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => AnswerAsync("renew", () =>
    {
        if (!Holds(worker.Id))
        {
            return new Renewal(false, [], false);
        }

        var drain = _workers[worker.Id].Drain;
        _workers[worker.Id] = (worker, time.GetUtcNow() + lease, drain);
        return new Renewal(true, [.. _leased.Where(pair => pair.Value.Worker == worker.Id).Select(pair => pair.Key)], drain);
    });

    public Task LeaveAsync(string workerId, CancellationToken cancellationToken) => AnswerAsync("leave", () =>
    {
        Left.Add(workerId);
        return _workers.Remove(workerId);
    });

    public Task<bool> AskDrainAsync(string workerId, bool drain, CancellationToken cancellationToken) => AnswerAsync("drain", () =>
    {
        if (!_workers.TryGetValue(workerId, out var worker))
        {
            return false;
        }

        _workers[workerId] = worker with { Drain = drain };
        return true;
    });

    public Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<string?> CancelAsync(string tenantId, string id, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<IReadOnlyList<string>> ExpireAsync(int limit, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<RescueResult> RescueAsync(int maxLosses, bool all, string? exceptWorkerId, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task SetLaneAsync(string tenantId, string lane, bool? paused, LaneLimits? limits, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<LaneView> LaneAsync(string tenantId, string lane, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<int> TidyAsync(TimeSpan unused, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken) => throw new NotSupportedException();
    public Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken) => throw new NotSupportedException();

    private bool Holds(string workerId) => _workers.TryGetValue(workerId, out var worker) && worker.Until > time.GetUtcNow();

    private async Task<T> AnswerAsync<T>(string what, Func<T> work)
    {
        await Task.Yield();
        if (Fails)
        {
            throw new DatabaseException("It cannot be reached.");
        }

        T answer;
        lock (_lock)
        {
            answer = work();
        }

        if (Held is { } held)
        {
            await held(what);
        }

        return answer;
    }
}
