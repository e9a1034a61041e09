namespace Flint.Contracts.Functions;

/// <summary>Body of <c>PATCH /api/functions/{name}</c>: members that are absent or null keep their value; ranges as in <see cref="CreateFunctionRequest"/>.</summary>
public sealed record UpdateFunctionRequest
{
    public string? Runtime { get; init; }
    public string? Handler { get; init; }
    public string? Description { get; init; }
    public int? MemoryMb { get; init; }
    public int? TimeoutMs { get; init; }
    public int? TmpMb { get; init; }
    /// <summary>Replaces the whole environment; an empty object clears it.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public string? Freshness { get; init; }
    public string? Start { get; init; }
    public string? Network { get; init; }
    public string? Engine { get; init; }
    public string? OnDisconnect { get; init; }
    public string? History { get; init; }
    /// <summary>Replaces all of it, but for the secret of a webhook that stays.</summary>
    public AsyncSettings? Async { get; init; }
    /// <inheritdoc cref="UpdateCodeRequest.RevisionId"/>
    public string? RevisionId { get; init; }
}
