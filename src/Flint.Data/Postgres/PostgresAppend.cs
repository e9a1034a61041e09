using Flint.Data.Invocations;
using Npgsql;
using NpgsqlTypes;
using static Flint.Data.Postgres.PostgresParameters;

namespace Flint.Data.Postgres;

/// <summary>One statement that inserts a batch: a column is an array, and the cold rows go only where the hot ones were new.</summary>
/// <remarks>The tenants' totals are locked last and in order, so that batches of several servers cannot deadlock over them.</remarks>
internal static class PostgresAppend
{
    private const string Sql = """
        WITH added AS (
            INSERT INTO invocations (
                tenant_id, id, status, mode, function_id, function_name, version, qualifier, error_type, created_at, started_at, completed_at,
                duration_ms, init_duration_ms, billed_ms, memory_mb, peak_memory_bytes, cold_start, engine, sandbox_id, unenforced, data_bytes,
                start_mode, start_reason)
            SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)
            ON CONFLICT DO NOTHING RETURNING tenant_id, id, data_bytes),
        totals AS (
            INSERT INTO invocation_totals AS t (tenant_id, data_bytes)
            SELECT tenant_id, sum(data_bytes)::bigint FROM added GROUP BY tenant_id HAVING sum(data_bytes) > 0 ORDER BY tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET data_bytes = t.data_bytes + excluded.data_bytes)
        INSERT INTO invocation_data (tenant_id, id, error, log_dropped_lines, log_dropped_bytes, payload, result, log)
        SELECT d.*
        FROM unnest($25, $26, $27, $28, $29, $30, $31, $32) d (tenant_id, id, error, log_dropped_lines, log_dropped_bytes, payload, result, log)
        JOIN added USING (tenant_id, id)
        ON CONFLICT DO NOTHING
        """;

    /// <summary>
    /// The command for rows that hold no id twice. They are in key order: two batches that share rows then wait for each other instead of
    /// deadlocking.
    /// </summary>
    public static NpgsqlCommand Command(NpgsqlConnection connection, List<InvocationRow> rows)
    {
        var command = new NpgsqlCommand(Sql, connection);
        AddHot(command.Parameters, rows);
        AddCold(command.Parameters, rows.FindAll(InvocationRules.HasData));
        return command;
    }

    private static void AddHot(NpgsqlParameterCollection parameters, List<InvocationRow> rows)
    {
        parameters.Column(NpgsqlDbType.Text, rows, row => row.TenantId);
        parameters.Column(NpgsqlDbType.Uuid, rows, row => Guid.ParseExact(row.Id, "D"));
        parameters.Column(NpgsqlDbType.Text, rows, row => row.Status);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.Mode);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.FunctionId);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.FunctionName);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.Version);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.Qualifier);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.ErrorType);
        parameters.Column(NpgsqlDbType.TimestampTz, rows, row => Time(row.CreatedAt));
        parameters.Column(NpgsqlDbType.TimestampTz, rows, row => Time(row.StartedAt));
        parameters.Column(NpgsqlDbType.TimestampTz, rows, row => Time(row.CompletedAt));
        parameters.Column(NpgsqlDbType.Double, rows, row => row.DurationMs);
        parameters.Column(NpgsqlDbType.Double, rows, row => row.InitDurationMs);
        parameters.Column(NpgsqlDbType.Bigint, rows, row => row.BilledMs);
        parameters.Column(NpgsqlDbType.Integer, rows, row => row.MemoryMb);
        parameters.Column(NpgsqlDbType.Bigint, rows, row => row.PeakMemoryBytes);
        parameters.Column(NpgsqlDbType.Boolean, rows, row => row.ColdStart);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.Engine);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.SandboxId);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.Unenforced);
        parameters.Column(NpgsqlDbType.Bigint, rows, InvocationRules.DataBytes);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.StartMode);
        parameters.Column(NpgsqlDbType.Text, rows, row => row.StartReason);
    }

    private static void AddCold(NpgsqlParameterCollection parameters, List<InvocationRow> rows)
    {
        parameters.Column(NpgsqlDbType.Text, rows, row => row.TenantId);
        parameters.Column(NpgsqlDbType.Uuid, rows, row => Guid.ParseExact(row.Id, "D"));
        parameters.Column(NpgsqlDbType.Text, rows, row => row.ErrorJson);
        parameters.Column(NpgsqlDbType.Bigint, rows, row => row.LogDroppedLines);
        parameters.Column(NpgsqlDbType.Bigint, rows, row => row.LogDroppedBytes);
        parameters.Column(NpgsqlDbType.Bytea, rows, row => Bytes(row.Payload));
        parameters.Column(NpgsqlDbType.Bytea, rows, row => Bytes(row.Result));
        parameters.Column(NpgsqlDbType.Bytea, rows, row => Bytes(row.Log));
    }
}
