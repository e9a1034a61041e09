using System.Text.Json;
using System.Text.Json.Serialization;
using Flint.Contracts.Invocations;

namespace Flint.Contracts.Jobs;

/// <summary>
/// One job as clients read it. The server writes it member by member, straight from bytes; this type is its shape for clients and for the OpenAPI document. In lists without
/// code, args, result, logs and attempts.
/// </summary>
public sealed record JobRecord
{
    [JsonPropertyName("_id")]
    public required string UnderscoreId { get; init; }
    /// <summary>Equals <c>_id</c>: a UUID version 7.</summary>
    public required string Id { get; init; }
    /// <summary><c>PENDING RUNNING COMPLETED FAILED CANCELLED</c>. A job that waits for another attempt is PENDING.</summary>
    public required string Status { get; init; }
    /// <summary>The source, where it was given as one text.</summary>
    public string? Code { get; init; }
    /// <summary>The paths of a job of several files.</summary>
    public IReadOnlyList<string>? FileNames { get; init; }
    /// <summary>As given. Absent when history did not keep it.</summary>
    public JsonElement? Args { get; init; }
    /// <summary><c>javascript</c> or <c>python</c>.</summary>
    public required string Language { get; init; }
    /// <summary>The concrete runtime, such as <c>nodejs20</c>.</summary>
    public required string Runtime { get; init; }
    public required string Handler { get; init; }
    /// <summary>In milliseconds.</summary>
    public required int Timeout { get; init; }
    public required int MemoryMb { get; init; }
    public required double Cpus { get; init; }
    public required string Network { get; init; }
    public required string Globals { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    public required int Priority { get; init; }
    public IReadOnlyList<string>? Tags { get; init; }
    public required int Retries { get; init; }
    /// <summary>Present with retries.</summary>
    public BackoffSettings? Backoff { get; init; }
    public long? TtlMs { get; init; }
    public string? ConcurrencyKey { get; init; }
    public int? ConcurrencyLimit { get; init; }
    public RateLimitSettings? RateLimit { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    /// <summary>While it waits: not before this it is begun, or tried again.</summary>
    public DateTimeOffset? RunAt { get; init; }
    /// <summary>Of the last attempt.</summary>
    public DateTimeOffset? StartedAt { get; init; }
    public DateTimeOffset? CompletedAt { get; init; }
    /// <summary>Of the last attempt, in milliseconds: from the hand-over of the arguments to the answer.</summary>
    public double? ExecutionTime { get; init; }
    public decimal? PeakMemoryMb { get; init; }
    public string? Engine { get; init; }
    /// <summary>Limits that the host could not enforce and the operator allowed to be missing.</summary>
    public IReadOnlyList<string>? Unenforced { get; init; }
    /// <summary>Who runs it now.</summary>
    public string? Worker { get; init; }
    /// <summary>Attempts that were begun.</summary>
    public required int AttemptCount { get; init; }
    public IReadOnlyList<JobAttemptView>? Attempts { get; init; }
    /// <summary>The error's message.</summary>
    public string? Error { get; init; }
    public InvocationErrorView? ErrorDetail { get; init; }
    /// <summary>What the code wrote, as one text: its lines, without the platform's.</summary>
    public string? Logs { get; init; }
    /// <summary>All lines of the log, with their times and streams.</summary>
    public IReadOnlyList<LogLineView>? LogLines { get; init; }
    /// <summary>Present when lines were dropped.</summary>
    public LogsTruncatedView? LogsTruncated { get; init; }
    /// <summary>What <c>main</c> returned. Absent when it failed, and in lists.</summary>
    public JsonElement? Result { get; init; }
}

/// <summary>One attempt at a job.</summary>
/// <param name="Number">From 1 on.</param>
/// <param name="Status">How it ended.</param>
/// <param name="Worker">Who ran it.</param>
public sealed record JobAttemptView(
    int Number, DateTimeOffset StartedAt, DateTimeOffset? CompletedAt, string Status, string? ErrorType, string? ErrorMessage, string? Worker, double? DurationMs);

/// <summary>One page of jobs, newest first.</summary>
public sealed record JobPage
{
    public required IReadOnlyList<JobRecord> Items { get; init; }
    /// <summary>From 1 on. Absent when the page was asked for by a cursor.</summary>
    public int? Page { get; init; }
    public required int Limit { get; init; }
    /// <summary>How many jobs the filters find; when <see cref="TotalIsExact"/> is false, at least so many. Absent when the page was asked for by a cursor.</summary>
    public int? Total { get; init; }
    /// <summary>False when the counting stopped at its bound.</summary>
    public bool? TotalIsExact { get; init; }
    /// <summary>Opaque; passed as <c>cursor</c> it gives the next page, however deep, at the same price. Absent on the last one.</summary>
    public string? NextCursor { get; init; }
}

/// <summary>What became of a bulk submission, in its order.</summary>
public sealed record BulkJobsAnswer(IReadOnlyList<BulkJobAnswer> Items);

/// <summary>What became of one of many jobs.</summary>
/// <param name="UnderscoreId">As <paramref name="Id"/>.</param>
/// <param name="Id">The job that stands for it.</param>
/// <param name="Outcome"><c>added</c>; <c>known</c>: its idempotency key stands for this earlier job; <c>key_taken</c>: its key stands for this earlier, different job, and it was not added.</param>
public sealed record BulkJobAnswer([property: JsonPropertyName("_id")] string UnderscoreId, string Id, string Outcome);
