using System.Text.Json;
using Flint.Contracts.Jobs;

namespace Flint.Contracts.Schedules;

/// <summary>Body of <c>POST /api/schedules</c>. Exactly one of expression and rateMs, and exactly one of function and job.</summary>
public sealed record CreateScheduleRequest
{
    /// <summary>Required. 1 to 64 of letters, digits, <c>-</c> and <c>_</c>.</summary>
    public string? Name { get; init; }
    /// <summary>At most 256 characters.</summary>
    public string? Description { get; init; }
    /// <summary>Cron's five fields: minute, hour, day of month, month, day of week.</summary>
    public string? Expression { get; init; }
    /// <summary>A fixed rate: every so many milliseconds, the first after one of them.</summary>
    public long? RateMs { get; init; }
    /// <summary>The zone of the expression, as IANA names it; default <c>UTC</c>.</summary>
    public string? TimeZone { get; init; }
    /// <summary>A function's name.</summary>
    public string? Function { get; init; }
    /// <summary>A version or an alias; default <c>$LATEST</c>.</summary>
    public string? Qualifier { get; init; }
    /// <summary>The function's event. Default: an object with the schedule's name and the due time.</summary>
    public JsonElement? Payload { get; init; }
    /// <summary>A job, as <c>POST /api/jobs</c> takes it; without delayMs, runAt and idempotencyKey.</summary>
    public SubmitJobRequest? Job { get; init; }
    /// <summary>Default true.</summary>
    public bool? Enabled { get; init; }
    /// <summary>What becomes of due times that no server saw: <c>skip</c> (default), <c>one</c> (one run for all of them) or <c>all</c> (each, at most the last 100).</summary>
    public string? MissedRuns { get; init; }
}

/// <summary>Body of <c>PATCH /api/schedules/{name}</c>: members that are absent or null keep their value. An expression takes the place of a rate, a job that of a function, and the other way round.</summary>
public sealed record UpdateScheduleRequest
{
    public string? Description { get; init; }
    public string? Expression { get; init; }
    public long? RateMs { get; init; }
    public string? TimeZone { get; init; }
    /// <summary>Takes qualifier along: without one, <c>$LATEST</c>.</summary>
    public string? Function { get; init; }
    public string? Qualifier { get; init; }
    public JsonElement? Payload { get; init; }
    public SubmitJobRequest? Job { get; init; }
    public bool? Enabled { get; init; }
    public string? MissedRuns { get; init; }
    /// <summary>The revision that the caller saw; another current revision answers 412. Same as the header <c>If-Match</c>.</summary>
    public string? RevisionId { get; init; }
}

/// <summary>A schedule.</summary>
public sealed record ScheduleView
{
    public required string Name { get; init; }
    public required string Description { get; init; }
    public string? Expression { get; init; }
    public long? RateMs { get; init; }
    public required string TimeZone { get; init; }
    public string? Function { get; init; }
    public string? Qualifier { get; init; }
    public JsonElement? Payload { get; init; }
    public JsonElement? Job { get; init; }
    public required bool Enabled { get; init; }
    public required string MissedRuns { get; init; }
    /// <summary>The next due time; absent while it is disabled.</summary>
    public DateTimeOffset? NextAt { get; init; }
    /// <summary>The due time of the last run that it enqueued by itself.</summary>
    public DateTimeOffset? LastAt { get; init; }
    public string? LastInvocationId { get; init; }
    /// <summary>What was wrong at the last due time; absent when nothing was.</summary>
    public string? LastError { get; init; }
    /// <summary>Changes with every change of the schedule, not with its runs; also the <c>ETag</c>.</summary>
    public required string RevisionId { get; init; }
    public required DateTimeOffset CreatedAt { get; init; }
    public required DateTimeOffset UpdatedAt { get; init; }
}

/// <summary>The due times that come next.</summary>
public sealed record DueTimesView(IReadOnlyList<DateTimeOffset> Items);
