namespace Flint.Contracts.Functions;

/// <summary>A published version. The whole of it: <c>GET /api/functions/{name}/versions/{number}</c>.</summary>
public sealed record VersionView
{
    public required string FunctionName { get; init; }
    public required int Version { get; init; }
    public required string Description { get; init; }
    public required string Runtime { get; init; }
    public required string Handler { get; init; }
    public required string CodeSha256 { get; init; }
    public required long CodeSizeBytes { get; init; }
    public required string RevisionId { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
}

/// <summary>Body of <c>POST /api/functions/{name}/versions</c>; may be empty.</summary>
public sealed record PublishVersionRequest
{
    /// <summary>Default: the function's description.</summary>
    public string? Description { get; init; }
    /// <summary>When given, must be the current code's SHA-256, else 412.</summary>
    public string? CodeSha256 { get; init; }
    /// <inheritdoc cref="UpdateCodeRequest.RevisionId"/>
    public string? RevisionId { get; init; }
}
