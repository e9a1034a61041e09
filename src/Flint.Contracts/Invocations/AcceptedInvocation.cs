namespace Flint.Contracts.Invocations;

/// <summary>What was queued, as its record begins; the whole of it is where <c>Location</c> says.</summary>
public sealed record AcceptedInvocation
{
    public required string Id { get; init; }
    /// <summary>The function; absent for a job.</summary>
    public string? Function { get; init; }
    public string? Version { get; init; }
    public string? Qualifier { get; init; }
    /// <summary><c>async</c> or <c>job</c>.</summary>
    public required string Mode { get; init; }
    /// <summary><c>PENDING</c>.</summary>
    public required string Status { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
}
