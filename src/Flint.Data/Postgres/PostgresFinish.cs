using Flint.Data.Invocations;
using Flint.Data.Queue;
using Npgsql;
using NpgsqlTypes;
using static Flint.Data.Postgres.PostgresParameters;

namespace Flint.Data.Postgres;

/// <summary>One statement that finishes a batch: those whose lease is held leave the queue, their records get their end, and what the records keep is counted.</summary>
internal static class PostgresFinish
{
    private const string Sql = """
        WITH held AS MATERIALIZED (
            SELECT q.tenant_id, q.id, q.attempt, q.lease_no
            FROM unnest($1, $2, $3) f (tenant_id, id, lease_no) JOIN queue q ON q.tenant_id = f.tenant_id AND q.id = f.id
            WHERE q.state = 'RUNNING' AND q.lease_no = f.lease_no
            ORDER BY q.tenant_id, q.id FOR UPDATE OF q),
        gone AS (DELETE FROM queue q USING held h WHERE q.tenant_id = h.tenant_id AND q.id = h.id),
        cold AS (
            INSERT INTO invocation_data AS d (tenant_id, id, error, log_dropped_lines, log_dropped_bytes, result, log, attempts)
            SELECT f.tenant_id, f.id, f.error, f.dropped_lines, f.dropped_bytes, f.result, f.log, f.attempts
            FROM unnest($1, $2, $4, $5, $6, $7, $8, $9) f (tenant_id, id, error, dropped_lines, dropped_bytes, result, log, attempts)
            JOIN held h ON h.tenant_id = f.tenant_id AND h.id = f.id
            WHERE f.error IS NOT NULL OR f.result IS NOT NULL OR f.log IS NOT NULL OR f.attempts IS NOT NULL OR f.dropped_lines <> 0 OR f.dropped_bytes <> 0
            ON CONFLICT (tenant_id, id) DO UPDATE SET
                error = excluded.error, log_dropped_lines = excluded.log_dropped_lines, log_dropped_bytes = excluded.log_dropped_bytes,
                result = excluded.result, log = excluded.log, attempts = coalesce(excluded.attempts, d.attempts)),
        forgotten AS (
            UPDATE invocation_work w SET payload = NULL
            FROM unnest($1, $2, $10) f (tenant_id, id, keep) JOIN held h ON h.tenant_id = f.tenant_id AND h.id = f.id
            WHERE NOT f.keep AND w.tenant_id = f.tenant_id AND w.id = f.id),
        sized AS (
            SELECT h.tenant_id, h.id, h.attempt, f.bytes + octet_length(w.work) + coalesce(octet_length(w.source), 0) + CASE WHEN f.keep THEN coalesce(octet_length(w.payload), 0) ELSE 0 END AS bytes
            FROM unnest($1, $2, $10, $31) f (tenant_id, id, keep, bytes)
            JOIN held h ON h.tenant_id = f.tenant_id AND h.id = f.id
            JOIN invocation_work w ON w.tenant_id = f.tenant_id AND w.id = f.id),
        hot AS (
            UPDATE invocations i SET
                status = f.status, version = coalesce(nullif(f.version, ''), i.version), error_type = f.error_type, started_at = f.started_at, completed_at = f.completed_at,
                duration_ms = f.duration_ms, init_duration_ms = f.init_duration_ms, billed_ms = f.billed_ms, memory_mb = f.memory_mb,
                peak_memory_bytes = f.peak_memory_bytes, cold_start = f.cold_start, engine = f.engine, sandbox_id = f.sandbox_id, unenforced = f.unenforced,
                start_mode = f.start_mode, start_reason = f.start_reason, attempts = c.attempt, data_bytes = c.bytes
            FROM unnest($1, $2, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)
                f (tenant_id, id, status, version, error_type, started_at, completed_at, duration_ms, init_duration_ms, billed_ms, memory_mb, peak_memory_bytes,
                cold_start, engine, sandbox_id, unenforced, start_mode, start_reason)
            JOIN sized c ON c.tenant_id = f.tenant_id AND c.id = f.id
            WHERE i.tenant_id = f.tenant_id AND i.id = f.id),
        dead AS (
            INSERT INTO dead_letters (tenant_id, list, id, function_name, error_type, added_at)
            SELECT f.tenant_id, f.list, f.id, i.function_name, f.error_type, clock_timestamp()
            FROM unnest($27, $28, $29, $30) f (tenant_id, id, list, error_type)
            JOIN held h ON h.tenant_id = f.tenant_id AND h.id = f.id
            JOIN invocations i ON i.tenant_id = f.tenant_id AND i.id = f.id
            ON CONFLICT DO NOTHING),
        totals AS (
            INSERT INTO invocation_totals AS t (tenant_id, data_bytes)
            SELECT tenant_id, sum(bytes)::bigint FROM sized GROUP BY tenant_id HAVING sum(bytes) > 0 ORDER BY tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET data_bytes = t.data_bytes + excluded.data_bytes)
        SELECT tenant_id, id, lease_no FROM held
        """;

    /// <summary>Adds the statement for rows in key order; it returns tenant, id and lease of those that were held.</summary>
    public static void Add(NpgsqlBatch batch, List<Settlement.Finished> rows)
    {
        var parameters = batch.Add(Sql)
            .Column(NpgsqlDbType.Text, rows, row => row.TenantId)
            .Column(NpgsqlDbType.Uuid, rows, Id)
            .Column(NpgsqlDbType.Bigint, rows, row => row.LeaseNo);
        AddCold(parameters, rows);
        AddHot(parameters, rows);
        var dead = rows.FindAll(row => row.DeadLetterList is not null);
        parameters
            .Column(NpgsqlDbType.Text, dead, row => row.TenantId)
            .Column(NpgsqlDbType.Uuid, dead, Id)
            .Column(NpgsqlDbType.Text, dead, row => row.DeadLetterList)
            .Column(NpgsqlDbType.Text, dead, row => row.Row.ErrorType)
            .Column(NpgsqlDbType.Bigint, rows, row => InvocationRules.OutputBytes(row.Row));
    }

    private static void AddCold(NpgsqlParameterCollection parameters, List<Settlement.Finished> rows) => parameters
        .Column(NpgsqlDbType.Text, rows, row => row.Row.ErrorJson)
        .Column(NpgsqlDbType.Bigint, rows, row => row.Row.LogDroppedLines)
        .Column(NpgsqlDbType.Bigint, rows, row => row.Row.LogDroppedBytes)
        .Column(NpgsqlDbType.Bytea, rows, row => Bytes(row.Row.Result))
        .Column(NpgsqlDbType.Bytea, rows, row => Bytes(row.Row.Log))
        .Column(NpgsqlDbType.Text, rows, row => row.AttemptsJson)
        .Column(NpgsqlDbType.Boolean, rows, row => row.KeepPayload);

    private static void AddHot(NpgsqlParameterCollection parameters, List<Settlement.Finished> rows) => parameters
        .Column(NpgsqlDbType.Text, rows, row => row.Row.Status)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.Version)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.ErrorType)
        .Column(NpgsqlDbType.TimestampTz, rows, row => Time(row.Row.StartedAt))
        .Column(NpgsqlDbType.TimestampTz, rows, row => Time(row.Row.CompletedAt))
        .Column(NpgsqlDbType.Double, rows, row => row.Row.DurationMs)
        .Column(NpgsqlDbType.Double, rows, row => row.Row.InitDurationMs)
        .Column(NpgsqlDbType.Bigint, rows, row => row.Row.BilledMs)
        .Column(NpgsqlDbType.Integer, rows, row => row.Row.MemoryMb)
        .Column(NpgsqlDbType.Bigint, rows, row => row.Row.PeakMemoryBytes)
        .Column(NpgsqlDbType.Boolean, rows, row => row.Row.ColdStart)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.Engine)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.SandboxId)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.Unenforced)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.StartMode)
        .Column(NpgsqlDbType.Text, rows, row => row.Row.StartReason);

    private static Guid Id(Settlement.Finished row) => Guid.ParseExact(row.Id, "D");
}
