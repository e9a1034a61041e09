using Flint.Data.Invocations;

namespace Flint.Data.Queue;

/// <summary>How an attempt ended, for the queue: one of the nested cases. Does nothing when the lease is not held any more.</summary>
public abstract record Settlement(string TenantId, string Id, long LeaseNo)
{
    /// <summary>
    /// It is finished: the record gets what <paramref name="Row"/> says of status, times, error, result and log, and leaves the queue. What it leads to is enqueued
    /// in the same transaction.
    /// </summary>
    /// <param name="Row">Status COMPLETED, FAILED or CANCELLED. Version and memory are what ran. Id, creation, function and payload stay as they were, and attempts are counted, whatever it says of them.</param>
    /// <param name="AttemptsJson">JSON array of all attempts.</param>
    public sealed record Finished(long LeaseNo, InvocationRow Row, string? AttemptsJson) : Settlement(Row.TenantId, Row.Id, LeaseNo)
    {
        /// <summary>False removes the stored payload: history does not keep it.</summary>
        public bool KeepPayload { get; init; } = true;
        /// <summary>Destinations: invocations and deliveries that follow from the end.</summary>
        public IReadOnlyList<QueueEntry> Then { get; init; } = [];
        /// <summary>The dead-letter list that it is put into; null: none.</summary>
        public string? DeadLetterList { get; init; }
    }

    /// <summary>
    /// It is tried again after a delay. <paramref name="CountsAsAttempt"/>: false gives the attempt's number back (it never ran, say of a throttle), and its time to live goes on.
    /// Attempts that are null stay as they were.
    /// </summary>
    public sealed record Retry(string TenantId, string Id, long LeaseNo, TimeSpan Delay, bool CountsAsAttempt, string? AttemptsJson) : Settlement(TenantId, Id, LeaseNo);

    /// <summary>It was not begun and goes back to where it was; the attempt is not counted.</summary>
    public sealed record Release(string TenantId, string Id, long LeaseNo) : Settlement(TenantId, Id, LeaseNo);
}
