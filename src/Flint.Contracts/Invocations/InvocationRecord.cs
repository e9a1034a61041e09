using System.Text.Json;
using Flint.Contracts.Jobs;

namespace Flint.Contracts.Invocations;

/// <summary>
/// One invocation as clients read it. The server writes it member by member, straight from bytes; this type is its shape for clients and
/// for the OpenAPI document.
/// </summary>
public sealed record InvocationRecord
{
    /// <summary>UUID version 7; the guest's request id.</summary>
    public required string Id { get; init; }
    public required string Function { get; init; }
    /// <summary><c>$LATEST</c> or a version's number: what ran.</summary>
    public required string Version { get; init; }
    /// <summary>What the caller asked for, when that was an alias or a number.</summary>
    public string? Qualifier { get; init; }
    /// <summary><c>sync</c>, <c>async</c>, <c>job</c> or <c>delivery</c> (to a webhook).</summary>
    public required string Mode { get; init; }
    /// <summary><c>COMPLETED</c>, <c>FAILED</c> or <c>CANCELLED</c>; <c>PENDING</c> and <c>RUNNING</c> for queued ones.</summary>
    public required string Status { get; init; }
    /// <summary>Of one that waits in the queue: not before this it is begun, or tried again.</summary>
    public DateTimeOffset? RunAt { get; init; }
    /// <summary>Of one that is in the queue and runs: who runs it.</summary>
    public string? Worker { get; init; }
    /// <summary>Of queued ones: attempts that were begun.</summary>
    public int? AttemptCount { get; init; }
    /// <summary>Of queued ones, words to find it by: <c>schedule:</c>, <c>cause:</c> and <c>redrive:</c> tell where it comes from.</summary>
    public IReadOnlyList<string>? Tags { get; init; }
    /// <summary>Of queued ones; only in a single record.</summary>
    public IReadOnlyList<JobAttemptView>? Attempts { get; init; }
    /// <summary><c>cold</c> or <c>warm</c>; absent when no sandbox was reached.</summary>
    public string? Start { get; init; }
    /// <summary><c>zygote</c> or <c>exec</c>: how the sandbox was really started; absent when none was reached.</summary>
    public string? StartMode { get; init; }
    /// <summary>Why it was started by <c>exec</c> although the function asks for a zygote; absent when it was not.</summary>
    public string? StartReason { get; init; }
    public string? Engine { get; init; }
    /// <summary>Limits that the host could not enforce and the operator allowed to be missing.</summary>
    public IReadOnlyList<string>? Unenforced { get; init; }
    /// <summary>From the event's hand-over to the answer.</summary>
    public double? DurationMs { get; init; }
    /// <summary>From asking for a sandbox to the loaded handler; absent when warm.</summary>
    public double? InitDurationMs { get; init; }
    /// <summary>The duration, rounded up to the next millisecond.</summary>
    public long? BilledDurationMs { get; init; }
    public required int MemoryMb { get; init; }
    /// <summary>In megabytes of 1048576 bytes, two decimals; absent where the host cannot tell.</summary>
    public decimal? PeakMemoryMb { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? CompletedAt { get; init; }
    public InvocationErrorView? Error { get; init; }
    /// <summary>Where the time went; only in an invoke's answer, with <c>?timings=true</c>. Not kept in history.</summary>
    public InvocationTimingsView? Timings { get; init; }
    /// <summary>Only in a single record; in an invoke's answer only with <c>?logs=true</c>.</summary>
    public IReadOnlyList<LogLineView>? Logs { get; init; }
    /// <summary>Present when lines were dropped.</summary>
    public LogsTruncatedView? LogsTruncated { get; init; }
    /// <summary>The event, where history keeps it (<c>Flint:History:PayloadMode</c>); only in a single record.</summary>
    public JsonElement? Event { get; init; }
    /// <summary>The function's result as it returned it. Absent when it failed, and in lists.</summary>
    public JsonElement? Result { get; init; }
}

/// <summary>Why an invocation failed.</summary>
/// <param name="Type">Flint's closed list, such as <c>Unhandled</c> or <c>TimedOut</c>.</param>
/// <param name="Name">The guest's own class, such as <c>KeyError</c>.</param>
/// <param name="Message">For people.</param>
/// <param name="StackTrace">Frames as the guest's language prints them.</param>
public sealed record InvocationErrorView(string Type, string Name, string Message, IReadOnlyList<string> StackTrace);

/// <summary>One captured line.</summary>
/// <param name="Time">The server's clock when the line came.</param>
/// <param name="Stream"><c>stdout</c>, <c>stderr</c> or <c>platform</c>.</param>
/// <param name="Text">As the guest wrote it; not to be trusted.</param>
public sealed record LogLineView(DateTimeOffset Time, string Stream, string Text);

/// <summary>What the log's cap dropped.</summary>
public sealed record LogsTruncatedView(long DroppedLines, long DroppedBytes);

/// <summary>An invocation's phases in milliseconds, one after the other; 0 for one that did not happen. What is missing to the caller's own measure is HTTP and the record.</summary>
/// <param name="QueueMs">Waiting for a sandbox, or for room to make one.</param>
/// <param name="CreateMs">Making the sandbox.</param>
/// <param name="BootMs">The runtime in it coming up.</param>
/// <param name="InitMs">Loading the handler.</param>
/// <param name="PrepareMs">Thawing a frozen sandbox.</param>
/// <param name="RunMs">From the event's hand-over to the answer.</param>
/// <param name="AheadMakeMs">Not a phase of the invocation, as the next two: making the sandbox's walls ahead of demand; 0 on a warm start.</param>
/// <param name="AheadForkMs">The wait for the zygote's turn, and its fork, ahead of demand.</param>
/// <param name="AheadEnterMs">The fork entering the sandbox, ahead of demand.</param>
public sealed record InvocationTimingsView(
    double QueueMs, double CreateMs, double BootMs, double InitMs, double PrepareMs, double RunMs, double AheadMakeMs, double AheadForkMs, double AheadEnterMs);
