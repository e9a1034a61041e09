namespace Flint.Contracts.Functions;

/// <summary>A function as it runs: <c>$LATEST</c>, or what a version froze.</summary>
public sealed record FunctionView
{
    public required string Name { get; init; }
    /// <summary><c>$LATEST</c> or a version's number.</summary>
    public required string Version { get; init; }
    /// <summary>A concrete runtime, such as <c>python3.11</c>.</summary>
    public required string Runtime { get; init; }
    public required string Handler { get; init; }
    public required string Description { get; init; }
    public required int MemoryMb { get; init; }
    public required int TimeoutMs { get; init; }
    public required int TmpMb { get; init; }
    public required IReadOnlyDictionary<string, string> Environment { get; init; }
    /// <summary><c>warm</c>, <c>fresh</c> or <c>snapshot</c>.</summary>
    public required string Freshness { get; init; }
    /// <summary><c>zygote</c> or <c>exec</c>: what was asked for; an invocation's record has what was done.</summary>
    public required string Start { get; init; }
    /// <summary><c>none</c> or <c>egress</c>.</summary>
    public required string Network { get; init; }
    public required string Engine { get; init; }
    public required string OnDisconnect { get; init; }
    public required string History { get; init; }
    public required AsyncView Async { get; init; }
    /// <summary>Lower-case hex SHA-256 of the stored zip.</summary>
    public required string CodeSha256 { get; init; }
    public required long CodeSizeBytes { get; init; }
    /// <summary>Changes with every change of code or settings; also the <c>ETag</c>.</summary>
    public required string RevisionId { get; init; }
    /// <summary>The newest published version's number; null when none was published.</summary>
    public int? LastVersion { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
}
