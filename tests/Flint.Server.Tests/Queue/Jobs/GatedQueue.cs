using System.Collections.Concurrent;
using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Server.Tests.Queue.Jobs;

/// <summary>A store of nothing but enqueues and depths, each as the test says. Thread-safe.</summary>
internal sealed class GatedQueue : IQueueStore
{
    /// <summary>The ids of each call, in order.</summary>
    public ConcurrentQueue<string[]> Calls { get; } = new();

    public Func<IReadOnlyList<QueueEntry>, Task> OnEnqueue { get; set; } = _ => Task.CompletedTask;

    public Func<QueueDepth> OnDepth { get; set; } = () => new QueueDepth(0, 0, 0, null);

    public int Depths { get; private set; }

    public async Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        Calls.Enqueue([.. entries.Select(entry => entry.Row.Id)]);
        await OnEnqueue(entries);
        return [.. entries.Select(entry => new EnqueueResult(EnqueueOutcome.Added, entry.Row.Id))];
    }

    public Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken)
    {
        Depths++;
        return Task.FromResult(OnDepth());
    }

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

    public Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken) => throw new NotSupportedException();
}
