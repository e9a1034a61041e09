using Flint.Data.Invocations;

namespace Flint.Data.Queue;

/// <summary>
/// The queue in the database (docs/decisions/0009-the-queue.md), by plain ADO on both providers. Wide on purpose and internal to Flint: the two implementations pass one conformance suite. Thread-safe;
/// every write is durable when its task completes. Times are the database's: on SQLite this process's clock, on PostgreSQL <c>clock_timestamp()</c>.
/// </summary>
/// <remarks>
/// All methods throw <see cref="DatabaseException"/> when the database cannot work; whether a write was committed is then unknown, and repeating it is safe: an entry whose id is there already counts as added, a
/// settlement whose lease is gone does nothing.
/// </remarks>
public interface IQueueStore
{
    /// <summary>
    /// Commits all entries in one transaction; results in their order. Throws <see cref="ArgumentException"/>, having written nothing, for what breaks the ranges of <see cref="QueueEntry"/>.
    /// </summary>
    Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken);

    /// <summary>Leases items to the worker: promotes what is due, goes around tenants and lanes, obeys limits and pauses.</summary>
    Task<ClaimResult> ClaimAsync(ClaimRequest request, CancellationToken cancellationToken);

    /// <summary>Settles attempts in one transaction. False, in the order given, where the lease was not held any more and nothing was written.</summary>
    Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<Settlement> settlements, CancellationToken cancellationToken);

    /// <summary>
    /// Ends an unfinished invocation as CANCELLED with the error Cancelled, waiting or running; its worker's late result is fenced off. Returns the id of the worker that runs it (empty: it waited), or null
    /// when there is no such unfinished invocation.
    /// </summary>
    Task<string?> CancelAsync(string tenantId, string id, CancellationToken cancellationToken);

    /// <summary>Ends at most <paramref name="limit"/> waiting items whose time to live is over as FAILED with Expired; returns their ids.</summary>
    Task<IReadOnlyList<string>> ExpireAsync(int limit, CancellationToken cancellationToken);

    // ---- workers

    /// <summary>Adds the worker, its lease running from now; <see cref="WorkerInfo.Draining"/> counts as asked for.</summary>
    Task RegisterAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken);

    /// <summary>Prolongs the lease to <paramref name="lease"/> from now if it is not over yet, and keeps what the worker tells of itself.</summary>
    Task<Renewal> RenewAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken);

    /// <summary>Takes the worker away; what it still has is READY again and neither an attempt nor a loss is counted: it says that none of it runs.</summary>
    Task LeaveAsync(string workerId, CancellationToken cancellationToken);

    /// <summary>
    /// Asks a worker to take no more work, or to take work again; its next renewal tells it. False when there is no such worker, or its lease is over.
    /// </summary>
    Task<bool> AskDrainAsync(string workerId, bool drain, CancellationToken cancellationToken);

    /// <summary>
    /// Takes items of workers whose lease is over, or that are gone, and makes them READY, each with one loss more: an attempt that was lost counts as begun.
    /// <paramref name="maxLosses"/> losses end an item as SandboxLost. <paramref name="all"/>: every lease but <paramref name="exceptWorkerId"/>'s is void (SQLite's start). Removes workers without a lease and items.
    /// </summary>
    Task<RescueResult> RescueAsync(int maxLosses, bool all, string? exceptWorkerId, CancellationToken cancellationToken);

    /// <summary>All workers that are registered, by name.</summary>
    Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken);

    // ---- lanes

    /// <summary>Sets what is not null; a lane need not have items. Limits hold for what runs already. Throws <see cref="ArgumentException"/> for limits out of range.</summary>
    Task SetLaneAsync(string tenantId, string lane, bool? paused, LaneLimits? limits, CancellationToken cancellationToken);

    /// <summary>The lane's pause, limits and load.</summary>
    Task<LaneView> LaneAsync(string tenantId, string lane, CancellationToken cancellationToken);

    /// <summary>Removes the rows of lanes that are not paused, have no items and were not used for <paramref name="unused"/>, and idempotency keys that are over. At most a page; returns how many.</summary>
    Task<int> TidyAsync(TimeSpan unused, CancellationToken cancellationToken);

    // ---- reading

    /// <summary>How many items wait and run; of one tenant, or of all (null). Counts to <paramref name="most"/> of each at most.</summary>
    Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken);

    /// <summary>
    /// How many invocations a query finds, whatever its page, its cursor and its offset; counts to <paramref name="most"/> and no further. Its status is what a reader sees: RUNNING and PENDING are told apart by the queue.
    /// </summary>
    Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken);

    /// <summary>What an invocation was enqueued with, for running it again; null when it was never queued, or is gone.</summary>
    Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken);
}

/// <param name="Waiting">READY now.</param>
/// <param name="Delayed">Not due yet.</param>
/// <param name="Running">Under a lease.</param>
/// <param name="OldestWaiting">How long the longest-waiting READY item has been due, of those counted; null when none waits.</param>
public sealed record QueueDepth(int Waiting, int Delayed, int Running, TimeSpan? OldestWaiting);

/// <summary>A lane as it is; <paramref name="Waiting"/> are READY now.</summary>
public sealed record LaneView(bool Paused, LaneLimits Limits, int Waiting, int Running);

/// <param name="WorkJson">As enqueued.</param>
/// <param name="AttemptsJson">JSON array of the attempts so far, or null.</param>
/// <param name="Payload">Null when history did not keep it.</param>
public sealed record StoredWork(string WorkJson, string? AttemptsJson, ReadOnlyMemory<byte>? Payload, ReadOnlyMemory<byte>? Source, IReadOnlyList<string> Tags);
