namespace Flint.Contracts.Errors;

/// <summary>RFC 9457 problem details, as every refused request answers them (<c>application/problem+json</c>).</summary>
public sealed record Problem
{
    /// <summary><c>urn:flint:problem:</c> and the code: a name, not a page.</summary>
    public required string Type { get; init; }
    public required string Title { get; init; }
    public required int Status { get; init; }
    /// <summary>What was wrong with this request.</summary>
    public required string Detail { get; init; }
    /// <summary>Stable; programs branch on it.</summary>
    public required string Code { get; init; }
    /// <summary>The member, header, parameter or archive entry at fault.</summary>
    public string? Field { get; init; }
    /// <summary>The limit that was passed.</summary>
    public string? Limit { get; init; }
    /// <summary>The configuration key that sets the limit.</summary>
    public string? Knob { get; init; }
    /// <summary>The archive entry at fault; hostile text, escaped to printable ASCII.</summary>
    public string? Entry { get; init; }
    /// <summary>The invocation that did not run, where it left a record.</summary>
    public string? InvocationId { get; init; }
    /// <summary>The status of the job or invocation, where that is why the request was refused.</summary>
    public string? InvocationStatus { get; init; }
    /// <summary>Only with status 500: finds the server's log entry.</summary>
    public string? CorrelationId { get; init; }
}
