using System.Text;

namespace Flint.Data.Invocations;

/// <summary>The SQL that both providers understand, and the rules behind it.</summary>
internal static class InvocationSql
{
    /// <summary>In the order in which <see cref="InvocationRowReader"/> reads them.</summary>
    private const string Hot = """
        i.tenant_id, i.id, i.status, i.mode, i.function_id, i.function_name, i.version, i.qualifier, i.error_type,
        i.created_at, i.started_at, i.completed_at, i.duration_ms, i.init_duration_ms, i.billed_ms, i.memory_mb, i.peak_memory_bytes,
        i.cold_start, i.engine, i.sandbox_id, i.unenforced, i.start_mode, i.start_reason
        """;

    private const string Cold = "d.log_dropped_lines, d.log_dropped_bytes";

    public const string Get = $"""
        SELECT {Hot}, d.error, {Cold}, d.payload, d.result, d.log
        FROM invocations i LEFT JOIN invocation_data d ON d.tenant_id = i.tenant_id AND d.id = i.id
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
    /// A page, newest first. The inner select finds it by one of the indexes before anything is joined; the status stands literally in the text,
    /// as partial indexes need it. Parameters: @tenant, @take, and those whose filter is set: @function, @before, @from, @fromId, @to, @toId.
    /// </summary>
    /// <param name="query">Checked.</param>
    /// <param name="nameIndex">SQLite keeps no statistics and would walk the key for every filter: it is told which index to use.</param>
    public static string List(InvocationQuery query, bool nameIndex)
    {
        var where = new StringBuilder("tenant_id = @tenant");
        Append(where, query.FunctionName is not null, "function_name = @function");
        Append(where, query.Status is not null, $"status = '{query.Status}'");
        Append(where, query.Status is not null and not "COMPLETED", "status <> 'COMPLETED'");
        Append(where, query.ColdStart is true, "cold_start = TRUE");
        Append(where, query.ColdStart is false, "cold_start = FALSE");
        Append(where, query.BeforeId is not null, "id < @before");
        Append(where, query.From is not null, "id >= @fromId AND created_at >= @from");
        Append(where, query.To is not null, "id < @toId AND created_at < @to");
        return $"""
            SELECT {Hot}, substr(d.error, 1, {ErrorBrief.PrefixLength}), {Cold}
            FROM (SELECT * FROM invocations {(nameIndex ? IndexFor(query) : "")} WHERE {where} ORDER BY id DESC LIMIT @take) i
            LEFT JOIN invocation_data d ON d.tenant_id = i.tenant_id AND d.id = i.id
            ORDER BY i.id DESC
            """;
    }

    /// <summary>The rarest filter's, by expectation.</summary>
    private static string IndexFor(InvocationQuery query) => query switch
    {
        { Status: not null and not "COMPLETED" } => "INDEXED BY ix_invocations_status",
        { FunctionName: not null } => "INDEXED BY ix_invocations_function",
        { ColdStart: true } => "INDEXED BY ix_invocations_cold",
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
