using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Server.Tests.Queue;

/// <summary>What is enqueued, with the store's promise about idempotency keys; nothing is claimed. The stores' own tests show that they keep the promise.</summary>
internal sealed class RecordingQueue : IQueueStore
{
    private readonly Lock _lock = new();
    private readonly List<QueueEntry> _entries = [];
    private readonly Dictionary<string, QueueEntry> _keys = new(StringComparer.Ordinal);

    public IReadOnlyList<QueueEntry> Entries
    {
        get
        {
            lock (_lock)
            {
                return [.. _entries];
            }
        }
    }

    public Dictionary<string, StoredWork> Works { get; } = new(StringComparer.Ordinal);

    public Func<Task> BeforeEnqueue { get; set; } = () => Task.CompletedTask;

    /// <summary>Run when the entries are in, before the caller knows.</summary>
    public Func<Task> AfterEnqueue { get; set; } = () => Task.CompletedTask;

    public async Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        await BeforeEnqueue();
        List<EnqueueResult> results;
        lock (_lock)
        {
            results = [.. entries.Select(Add)];
        }

        await AfterEnqueue();
        return results;
    }

    public Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken) => Task.FromResult(new QueueDepth(Entries.Count, 0, 0, null));

    public Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken) => Task.FromResult(Works.GetValueOrDefault(id));

    public Task<ClaimResult> ClaimAsync(ClaimRequest request, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<Settlement> settlements, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<string?> CancelAsync(string tenantId, string id, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<IReadOnlyList<string>> ExpireAsync(int limit, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task RegisterAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<Renewal> RenewAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task LeaveAsync(string workerId, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<bool> AskDrainAsync(string workerId, bool drain, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<RescueResult> RescueAsync(int maxLosses, bool all, string? exceptWorkerId, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task SetLaneAsync(string tenantId, string lane, bool? paused, LaneLimits? limits, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<LaneView> LaneAsync(string tenantId, string lane, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<int> TidyAsync(TimeSpan unused, CancellationToken cancellationToken) => throw new NotSupportedException();

    public Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken) => throw new NotSupportedException();

    private EnqueueResult Add(QueueEntry entry)
    {
        if (entry.IdempotencyKey is { } key)
        {
            if (_keys.TryGetValue(key, out var known))
            {
                return new EnqueueResult(known.Fingerprint.AsSpan().SequenceEqual(entry.Fingerprint) ? EnqueueOutcome.Known : EnqueueOutcome.KeyTaken, known.Row.Id);
            }

            _keys[key] = entry;
        }

        _entries.Add(entry);
        return new EnqueueResult(EnqueueOutcome.Added, entry.Row.Id);
    }
}
