namespace Flint.Data.Queue;

/// <summary>A worker asks for work.</summary>
/// <param name="WorkerId">Registered, with a lease that is not over.</param>
/// <param name="Places">How many items at most; 1 to 1000.</param>
public sealed record ClaimRequest(string WorkerId, int Places);

/// <summary>What a claim brought.</summary>
/// <param name="Items">In the order in which they should begin. Empty also when the worker's lease is over: then <paramref name="LeaseHeld"/> is false.</param>
/// <param name="LeaseHeld">The worker may still claim.</param>
/// <param name="NextDue">How long until something that waits now may be due (a delay, a rate limit); null when nothing is known to.</param>
public sealed record ClaimResult(IReadOnlyList<ClaimedItem> Items, bool LeaseHeld, TimeSpan? NextDue);

/// <summary>One item under a lease: all that running it needs.</summary>
public sealed record ClaimedItem
{
    public required string TenantId { get; init; }
    public required string Id { get; init; }
    /// <summary>Fences every write about this attempt.</summary>
    public required long LeaseNo { get; init; }
    /// <summary>The number of the attempt that this claim begins; the first is 1.</summary>
    public required int Attempt { get; init; }
    /// <summary>Leases that ran out under it so far.</summary>
    public required int Losses { get; init; }
    public required string Lane { get; init; }
    public required int Priority { get; init; }
    /// <summary><c>job</c>, <c>async</c>, <c>sync</c> (handed over by another server) or <c>delivery</c>.</summary>
    public required string Mode { get; init; }
    public string FunctionId { get; init; } = "";
    public string FunctionName { get; init; } = "";
    public string Version { get; init; } = "";
    public string? Qualifier { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    /// <summary>By the database's clock.</summary>
    public required DateTimeOffset ClaimedAt { get; init; }
    /// <summary>Its time to live was over before it began: it is to be completed as Expired, not run.</summary>
    public required bool Expired { get; init; }
    public required string WorkJson { get; init; }
    public ReadOnlyMemory<byte>? Payload { get; init; }
    public ReadOnlyMemory<byte>? Source { get; init; }
    /// <summary>JSON array of the attempts so far, or null.</summary>
    public string? AttemptsJson { get; init; }
    public IReadOnlyList<string> Tags { get; init; } = [];
}
