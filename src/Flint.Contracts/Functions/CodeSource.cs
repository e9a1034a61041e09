namespace Flint.Contracts.Functions;

/// <summary>Code in a JSON body: exactly one of the two members.</summary>
public sealed record CodeSource
{
    /// <summary>One source file's text, named after the handler's module. UTF-8, at most 4 MB.</summary>
    public string? Inline { get; init; }
    /// <summary>A zip archive, base64. Bounded as a zip that is uploaded raw.</summary>
    public byte[]? Zip { get; init; }
}

/// <summary>Body of <c>PUT /api/functions/{name}/code</c>: a <see cref="CodeSource"/> and the revision that it replaces.</summary>
public sealed record UpdateCodeRequest
{
    /// <inheritdoc cref="CodeSource.Inline"/>
    public string? Inline { get; init; }
    /// <inheritdoc cref="CodeSource.Zip"/>
    public byte[]? Zip { get; init; }
    /// <summary>The revision that the caller saw; another current revision answers 412. Same as the header <c>If-Match</c>.</summary>
    public string? RevisionId { get; init; }
}
