using Flint.Data.Invocations;

namespace Flint.Data.Queue;

/// <summary>What is enqueued: the record as it will be seen, and its place in the queue. Immutable.</summary>
public sealed record QueueEntry
{
    /// <summary>Status PENDING. <see cref="InvocationRow.Payload"/> is what will be run with: the event, or a job's arguments.</summary>
    public required InvocationRow Row { get; init; }
    /// <summary>How to run it: the JSON that the server wrote and reads again (<c>QueuedWork</c>). Kept until retention removes the record.</summary>
    public required string WorkJson { get; init; }
    /// <summary>A job's code: its source text, or a zip; what it is stands in <see cref="WorkJson"/>. Null for functions.</summary>
    public ReadOnlyMemory<byte>? Source { get; init; }
    /// <summary>Where it waits; 1 to 300 characters, unique within the tenant.</summary>
    public required string Lane { get; init; }
    /// <summary>Limits that the lane has from now on; null leaves it as it is.</summary>
    public LaneLimits? Limits { get; init; }
    /// <summary>Higher is claimed first, within its lane. -100 to 100.</summary>
    public int Priority { get; init; }
    /// <summary>Not before this, by the database's clock; one that is past means now. Null: after <see cref="Delay"/>.</summary>
    public DateTimeOffset? RunAt { get; init; }
    /// <summary>Not before this has passed since the insert, by the database's clock. Not negative.</summary>
    public TimeSpan Delay { get; init; }
    /// <summary>No attempt begun within this since the insert, it ends as Expired. Null: never.</summary>
    public TimeSpan? TimeToLive { get; init; }
    /// <summary>1 to 255 characters, or null.</summary>
    public string? IdempotencyKey { get; init; }
    /// <summary>How long the key is remembered, from the insert on.</summary>
    public TimeSpan IdempotencyLifetime { get; init; } = TimeSpan.FromDays(1);
    /// <summary>SHA-256 of what was asked for; set when <see cref="IdempotencyKey"/> is.</summary>
    public byte[]? Fingerprint { get; init; }
    /// <summary>Words to find it by; distinct, at most 20 of at most 100 characters.</summary>
    public IReadOnlyList<string> Tags { get; init; } = [];
}

/// <summary>Limits of a lane. Both null: none.</summary>
/// <param name="MaxRunning">Items of the lane that run at a time, on all workers together; 1 and more.</param>
/// <param name="Rate">Starts per period; a retry starts again.</param>
public sealed record LaneLimits(int? MaxRunning, LaneRate? Rate);

/// <summary>
/// <paramref name="Starts"/> starts at once after a rest, and then one each <paramref name="Period"/> / <paramref name="Starts"/> (the generic cell rate algorithm): as many
/// per period in the long run.
/// </summary>
/// <param name="Starts">1 and more.</param>
/// <param name="Period">A millisecond to 31 days.</param>
public sealed record LaneRate(int Starts, TimeSpan Period);

/// <summary>What became of an entry.</summary>
public enum EnqueueOutcome
{
    /// <summary>Committed.</summary>
    Added,
    /// <summary>The idempotency key stands for an earlier one with the same fingerprint; its id is in the result.</summary>
    Known,
    /// <summary>The idempotency key stands for another request.</summary>
    KeyTaken,
}

/// <param name="Outcome">What became of it.</param>
/// <param name="Id">Of the record that stands for the entry now: its own, or the earlier one's.</param>
public readonly record struct EnqueueResult(EnqueueOutcome Outcome, string Id);
