using System.Text;

namespace Flint.Data.Invocations;

/// <summary>The SQL that both providers understand, and the rules behind it.</summary>
internal static class InvocationSql
{
    /// <summary>In the order in which <see cref="InvocationRowReader"/> reads them. What runs is known to the queue alone; the record learns of its end.</summary>
    private const string Hot = """
        i.tenant_id, i.id, CASE WHEN q.state = 'RUNNING' THEN 'RUNNING' ELSE i.status END, i.mode, i.function_id, i.function_name, i.version, i.qualifier, i.error_type,
        i.created_at, CASE WHEN q.state = 'RUNNING' THEN q.claimed_at ELSE i.started_at END, i.completed_at, i.duration_ms, i.init_duration_ms, i.billed_ms,
        i.memory_mb, i.peak_memory_bytes, i.cold_start, i.engine, i.sandbox_id, i.unenforced, i.start_mode, i.start_reason,
        coalesce(q.attempt, i.attempts), q.run_at, q.worker_id
        """;

    private const string Cold = "d.log_dropped_lines, d.log_dropped_bytes, w.work, w.tags";

    private const string Joined = """
        LEFT JOIN queue q ON q.tenant_id = i.tenant_id AND q.id = i.id
        LEFT JOIN invocation_data d ON d.tenant_id = i.tenant_id AND d.id = i.id
        LEFT JOIN invocation_work w ON w.tenant_id = i.tenant_id AND w.id = i.id
        """;

    public const string Get = $"""
        SELECT {Hot}, d.error, {Cold}, d.attempts, coalesce(d.payload, w.payload), d.result, d.log
        FROM invocations i
        {Joined}
        WHERE i.tenant_id = @tenant AND i.id = @id
        """;

    /// <summary>Rows that retention may delete: never what is queued or runs.</summary>
    public const string Finished = "status IN ('COMPLETED', 'FAILED', 'CANCELLED')";

    /// <summary>All tenants, one index probe each.</summary>
    public const string Tenants = """
        WITH RECURSIVE tenants (id) AS (
            SELECT min(tenant_id) FROM invocations
            UNION ALL
            SELECT (SELECT min(i.tenant_id) FROM invocations i WHERE i.tenant_id > tenants.id) FROM tenants WHERE tenants.id IS NOT NULL)
        SELECT id FROM tenants WHERE id IS NOT NULL
        """;

    /// <summary>The oldest finished row among the newest @keep.</summary>
    public const string OldestKept = $"""
        SELECT id FROM invocations WHERE tenant_id = @tenant AND {Finished} ORDER BY id DESC LIMIT 1 OFFSET @keep - 1
        """;

    /// <summary>What is older than a bound, and then beyond the count or finished before the age's limit.</summary>
    public const string Doomed = $"""
        SELECT id, data_bytes FROM invocations
        WHERE tenant_id = @tenant AND id < @below AND {Finished} AND (id < @counted OR coalesce(completed_at, created_at) < @age)
        ORDER BY id LIMIT @page
        """;

    /// <summary>The oldest page of finished rows; <c>older</c> is the size of those before each in the page.</summary>
    public const string Oldest = $"""
        SELECT id, data_bytes, sum(data_bytes) OVER (ORDER BY id) - data_bytes AS older FROM oldest
        """;

    /// <summary>
    /// A page, newest first. The inner select finds it by one of the indexes before anything is joined; status and mode stand literally in the text,
    /// as partial indexes need them. Parameters: @tenant, @take, @offset, and those whose filter is set: @function, @tag, @before, @from, @fromId, @to, @toId.
    /// </summary>
    /// <param name="query">Checked.</param>
    /// <param name="sqlite">SQLite keeps no statistics and would walk the key for every filter: it is told which index to use.</param>
    public static string List(InvocationQuery query, bool sqlite) => $"""
        SELECT {Hot}, substr(d.error, 1, {ErrorBrief.PrefixLength}), {Cold}
        FROM (SELECT i.* FROM {Found(query, sqlite, paged: true)} ORDER BY {Driver(query)}.id DESC LIMIT @take OFFSET @offset) i
        {Joined}
        ORDER BY i.id DESC
        """;

    /// <summary>How many rows a query finds, at most @most. Parameters otherwise as for <see cref="List"/>, without those of the page.</summary>
    public static string Count(InvocationQuery query, bool sqlite) => $"SELECT count(*) FROM (SELECT 1 FROM {Found(query, sqlite, paged: false)} LIMIT @most) n";

    /// <summary>The table that the page is walked by. Few items run at a time, so the queue finds them best.</summary>
    private static string Driver(InvocationQuery query) => query switch
    {
        { Status: "RUNNING" } => "q",
        { Tag: not null } => "t",
        _ => "i",
    };

    private static string Found(InvocationQuery query, bool sqlite, bool paged)
    {
        const string Tagged = "t.tag = @tag AND t.tenant_id = @tenant AND t.id = i.id";
        var driver = Driver(query);
        var tables = driver switch
        {
            "q" => $"queue q {(sqlite ? "INDEXED BY ix_queue_worker" : "")} CROSS JOIN invocations i",
            "t" => "invocation_tags t CROSS JOIN invocations i",
            _ => $"invocations i {(sqlite ? IndexFor(query) : "")}",
        };
        var where = new StringBuilder("i.tenant_id = @tenant");
        Append(where, driver == "q", "q.state = 'RUNNING' AND q.tenant_id = @tenant AND i.id = q.id");
        Append(where, driver == "t", Tagged);
        Append(where, driver != "t" && query.Tag is not null, $"EXISTS (SELECT 1 FROM invocation_tags t WHERE {Tagged})");
        Append(where, query.Status is "PENDING", "NOT EXISTS (SELECT 1 FROM queue r WHERE r.tenant_id = i.tenant_id AND r.id = i.id AND r.state = 'RUNNING')");
        Append(where, query.Status is not null and not "RUNNING", $"i.status = '{query.Status}'");
        Append(where, query.Status is not null and not "COMPLETED", "i.status <> 'COMPLETED'");
        Append(where, query.FunctionName is not null, "i.function_name = @function");
        Append(where, query.Mode is not null, $"i.mode = '{query.Mode}'");
        Append(where, query.ColdStart is true, "i.cold_start = TRUE");
        Append(where, query.ColdStart is false, "i.cold_start = FALSE");
        Append(where, paged && query.BeforeId is not null, $"{driver}.id < @before");
        Append(where, query.From is not null, $"{driver}.id >= @fromId AND i.created_at >= @from");
        Append(where, query.To is not null, $"{driver}.id < @toId AND i.created_at < @to");
        return $"{tables} WHERE {where}";
    }

    /// <summary>The rarest filter's, by expectation.</summary>
    private static string IndexFor(InvocationQuery query) => query switch
    {
        { Status: not null and not "COMPLETED" } => "INDEXED BY ix_invocations_status",
        { FunctionName: not null } => "INDEXED BY ix_invocations_function",
        { ColdStart: true } => "INDEXED BY ix_invocations_cold",
        { Mode: "job" } => "INDEXED BY ix_invocations_jobs",
        _ => "",
    };

    private static void Append(StringBuilder where, bool use, string condition)
    {
        if (use)
        {
            where.Append(" AND ").Append(condition);
        }
    }
}
