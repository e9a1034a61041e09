namespace Flint.Data.Model;

/// <summary>Something that is enqueued again and again. Unique by (tenant, name). Exactly one of <see cref="Expression"/> and <see cref="RateMs"/>, and one of <see cref="FunctionName"/> and <see cref="JobJson"/>.</summary>
public sealed class ScheduleEntity
{
    public required string TenantId { get; set; }
    /// <summary>UUID version 7, never reused: the idempotency keys of its runs begin with it.</summary>
    public required string Id { get; set; }
    public required string Name { get; set; }
    public string Description { get; set; } = "";
    /// <summary>Cron's five fields.</summary>
    public string? Expression { get; set; }
    public long? RateMs { get; set; }
    /// <summary>IANA's name.</summary>
    public required string TimeZone { get; set; }
    public string? FunctionName { get; set; }
    public string? Qualifier { get; set; }
    /// <summary>The event; null: one that tells of the run.</summary>
    public string? PayloadJson { get; set; }
    /// <summary>A job's request.</summary>
    public string? JobJson { get; set; }
    public bool Enabled { get; set; }
    /// <summary><c>skip</c>, <c>one</c> or <c>all</c>.</summary>
    public required string MissedRuns { get; set; }
    /// <summary>The due time that comes next, or that is being dealt with; null: none.</summary>
    public DateTimeOffset? NextAt { get; set; }
    /// <summary>The due time that was enqueued last.</summary>
    public DateTimeOffset? LastAt { get; set; }
    public string? LastInvocationId { get; set; }
    /// <summary>What was wrong at the last due time; null when nothing was.</summary>
    public string? LastError { get; set; }
    /// <summary>UUID that changes with every change by a user, not with runs; the optimistic lock (412).</summary>
    public required string RevisionId { get; set; }
    public DateTimeOffset CreatedAt { get; set; }
    public DateTimeOffset UpdatedAt { get; set; }
}
