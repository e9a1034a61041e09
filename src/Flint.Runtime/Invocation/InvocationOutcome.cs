using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Invocation;

/// <summary>
/// How an invocation ended: the closed result of the dispatcher. A function that fails is an outcome; a platform that fails is an
/// outcome too once the dispatcher has classified it, so that every execution leaves exactly one record.
/// </summary>
public sealed record InvocationOutcome
{
    public required InvocationStatus Status { get; init; }
    /// <summary>Valid UTF-8 JSON when <see cref="Status"/> is <see cref="InvocationStatus.Completed"/>; empty otherwise.</summary>
    public ReadOnlyMemory<byte> Result { get; init; }
    /// <summary>Null exactly when <see cref="Status"/> is <see cref="InvocationStatus.Completed"/>.</summary>
    public InvocationError? Error { get; init; }
    public bool ColdStart { get; init; }
    /// <summary>When it had a sandbox, or room for one; when it was refused, if it never had.</summary>
    public DateTimeOffset StartedAt { get; init; }
    public DateTimeOffset CompletedAt { get; init; }
    /// <summary>From handing the event to the guest to its answer; zero when it never ran.</summary>
    public TimeSpan Duration { get; init; }
    /// <summary>From asking the engine for a sandbox to the handler being loaded or having failed to; null when warm. Not billed.</summary>
    public TimeSpan? InitDuration { get; init; }
    /// <summary>Peak memory of the sandbox during this invocation in bytes; null when the host cannot tell.</summary>
    public long? PeakMemoryBytes { get; init; }
    public string? SandboxId { get; init; }
    /// <summary>How the sandbox was really started; null when there was none.</summary>
    public StartMode? Start { get; init; }
    /// <summary>Why it was started by exec although the function asks for a zygote; null when it was not.</summary>
    public string? StartReason { get; init; }
    public CapturedLog Log { get; init; } = CapturedLog.Empty;
    public InvocationTimings Timings { get; init; }

    /// <summary>Milliseconds billed: duration rounded up to the next one, as Lambda does.</summary>
    public long BilledMs => Billed(Duration);

    internal static long Billed(TimeSpan duration) => (long)Math.Ceiling(duration.TotalMilliseconds);
}

/// <summary>The statuses of an invocation; upper-case on the wire.</summary>
public enum InvocationStatus { Pending, Running, Completed, Failed, Cancelled }
