using Flint.Runtime.Guest;

namespace Flint.Runtime.Invocation;

/// <summary>One thing to run. Immutable; the payload belongs to the caller until the dispatcher's task completes.</summary>
public sealed record InvocationRequest
{
    /// <summary>The invocation's id (UUID version 7, lower-case with dashes); the guest's <c>aws_request_id</c>.</summary>
    public required string Id { get; init; }
    public required FunctionSpec Function { get; init; }
    /// <summary>The event: valid UTF-8 JSON, already checked for depth and size.</summary>
    public required ReadOnlyMemory<byte> Payload { get; init; }
    /// <summary>Raw JSON of the Lambda client context, or null.</summary>
    public string? ClientContext { get; init; }
    public string? TraceId { get; init; }
    /// <summary>
    /// Gets each line of the log as it is captured, also the platform's; null costs nothing. Called in order, one call at a time, on any thread: among them those that many sandboxes
    /// wait for, so it must not block and must not throw (a call that throws is the last). Lines beyond the log's limit are not told; the mark that says
    /// so comes last, though it stands earlier in the log.
    /// </summary>
    public Action<LogLine>? OnLine { get; init; }
}
