namespace Flint.Contracts.Functions;

/// <summary>A name for a version.</summary>
public sealed record AliasView
{
    public required string Name { get; init; }
    public required string FunctionName { get; init; }
    public required int Version { get; init; }
    public required string Description { get; init; }
    public required string RevisionId { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
}

/// <summary>Body of <c>POST /api/functions/{name}/aliases</c>.</summary>
public sealed record CreateAliasRequest
{
    /// <summary>Required. 1 to 128 of letters, digits, <c>-</c> and <c>_</c>, not digits alone.</summary>
    public string? Name { get; init; }
    /// <summary>Required. A published version's number.</summary>
    public int? Version { get; init; }
    public string? Description { get; init; }
}

/// <summary>Body of <c>PUT /api/functions/{name}/aliases/{alias}</c>: points an existing alias elsewhere (deploy, roll back).</summary>
public sealed record UpdateAliasRequest
{
    /// <summary>Default: unchanged.</summary>
    public int? Version { get; init; }
    /// <summary>Default: unchanged.</summary>
    public string? Description { get; init; }
    /// <inheritdoc cref="UpdateCodeRequest.RevisionId"/>
    public string? RevisionId { get; init; }
}
