namespace Flint.Data.Invocations;

/// <summary>One execution as it is stored: the record that serves history and, later, the queue.</summary>
public sealed record InvocationRow
{
    public required string TenantId { get; init; }
    /// <summary>
    /// UUID version 7, lower-case with dashes, made from <see cref="CreatedAt"/> (within a minute): ids sort by creation time, and time filters and
    /// retention find their range by the id.
    /// </summary>
    public required string Id { get; init; }
    public required string FunctionId { get; init; }
    public required string FunctionName { get; init; }
    /// <summary><c>$LATEST</c> or a decimal number: what ran.</summary>
    public required string Version { get; init; }
    /// <summary>What the caller asked for (an alias, a number), or null.</summary>
    public string? Qualifier { get; init; }
    /// <summary><c>sync</c>, <c>async</c>, <c>job</c> or <c>delivery</c>.</summary>
    public required string Mode { get; init; }
    /// <summary><c>PENDING RUNNING COMPLETED FAILED CANCELLED</c>.</summary>
    public required string Status { get; init; }
    public string? ErrorType { get; init; }
    /// <summary>JSON <c>{"type","name","message","stackTrace"}</c>, or null.</summary>
    public string? ErrorJson { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? CompletedAt { get; init; }
    public double? DurationMs { get; init; }
    public double? InitDurationMs { get; init; }
    public long? BilledMs { get; init; }
    public int MemoryMb { get; init; }
    public long? PeakMemoryBytes { get; init; }
    public bool? ColdStart { get; init; }
    public string? Engine { get; init; }
    /// <summary><c>zygote</c> or <c>exec</c>: how the sandbox was really started; null when none was reached.</summary>
    public string? StartMode { get; init; }
    /// <summary>Why not as the function asks; null when it was.</summary>
    public string? StartReason { get; init; }
    public string? SandboxId { get; init; }
    /// <summary>Comma-separated limits that the host could not enforce, or null.</summary>
    public string? Unenforced { get; init; }
    /// <summary>Attempts that were begun; of one that still waits for its first, 0. Read only: the queue counts them.</summary>
    public int Attempts { get; init; } = 1;

    // Of what is in the queue, read from its row there; null for all else. Never written with the record.
    /// <summary>Not before this it is begun, or tried again.</summary>
    public DateTimeOffset? RunAt { get; init; }
    /// <summary>Who runs it.</summary>
    public string? WorkerId { get; init; }

    // The cold part, in a table of its own.
    /// <summary>The event, or null when it was not kept.</summary>
    public ReadOnlyMemory<byte>? Payload { get; init; }
    /// <summary>The result's JSON, or null.</summary>
    public ReadOnlyMemory<byte>? Result { get; init; }
    /// <summary>The captured log as JSON lines (<c>{"t":unix ms,"s":"stdout|stderr|platform","m":text}</c>), or null when empty.</summary>
    public ReadOnlyMemory<byte>? Log { get; init; }
    public long LogDroppedLines { get; init; }
    public long LogDroppedBytes { get; init; }

    // Of what was queued, as it was enqueued and settled; read only.
    /// <summary>How it was enqueued (<c>QueueEntry.WorkJson</c>), or null.</summary>
    public string? WorkJson { get; init; }
    /// <summary>JSON array of its attempts, or null.</summary>
    public string? AttemptsJson { get; init; }
    public IReadOnlyList<string> Tags { get; init; } = [];
}

/// <summary>A page request over history, newest first.</summary>
public sealed record InvocationQuery
{
    public required string TenantId { get; init; }
    public string? FunctionName { get; init; }
    public string? Status { get; init; }
    /// <summary>Only invocations created at or after this.</summary>
    public DateTimeOffset? From { get; init; }
    /// <summary>Only invocations created before this.</summary>
    public DateTimeOffset? To { get; init; }
    public bool? ColdStart { get; init; }
    /// <summary>Only invocations of this mode.</summary>
    public string? Mode { get; init; }
    /// <summary>Only invocations with this tag.</summary>
    public string? Tag { get; init; }
    /// <summary>Rows to pass over first, 0 to 100,000: a page by its number costs what it passes over.</summary>
    public int Offset { get; init; }
    /// <summary>1 to 1000.</summary>
    public int Limit { get; init; } = 50;
    /// <summary>The last id of the page before, exclusive; null for the first page.</summary>
    public string? BeforeId { get; init; }
}

/// <summary>
/// A page; rows carry no payload, result, log or attempts, and of an error no stack and at most 1000 characters of message; they do carry tags and <see cref="InvocationRow.WorkJson"/>.
/// <see cref="HasMore"/>: another page follows.
/// </summary>
public sealed record InvocationPage(IReadOnlyList<InvocationRow> Rows, bool HasMore);

/// <summary>
/// What history keeps of each tenant's finished invocations; null means without that limit. Age counts from an invocation's end, bytes are those of
/// payload, result, log and error, and of what it was enqueued with.
/// </summary>
public sealed record Retention(TimeSpan? MaxAge, long? MaxCount, long? MaxBytes = null);
