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
    public required string Freshness { get; init; }
    public required string Engine { get; init; }
    public required string OnDisconnect { get; init; }
    public required string History { get; init; }
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
