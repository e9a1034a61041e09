using System.Runtime.InteropServices;
using Flint.Data.Invocations;
using Npgsql;
using NpgsqlTypes;

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
        Add(parameters, NpgsqlDbType.Text, rows, row => row.TenantId);
        Add(parameters, NpgsqlDbType.Uuid, rows, row => Guid.ParseExact(row.Id, "D"));
        Add(parameters, NpgsqlDbType.Text, rows, row => row.Status);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.Mode);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.FunctionId);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.FunctionName);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.Version);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.Qualifier);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.ErrorType);
        Add(parameters, NpgsqlDbType.TimestampTz, rows, row => Time(row.CreatedAt));
        Add(parameters, NpgsqlDbType.TimestampTz, rows, row => row.StartedAt is { } time ? Time(time) : (DateTime?)null);
        Add(parameters, NpgsqlDbType.TimestampTz, rows, row => row.CompletedAt is { } time ? Time(time) : (DateTime?)null);
        Add(parameters, NpgsqlDbType.Double, rows, row => row.DurationMs);
        Add(parameters, NpgsqlDbType.Double, rows, row => row.InitDurationMs);
        Add(parameters, NpgsqlDbType.Bigint, rows, row => row.BilledMs);
        Add(parameters, NpgsqlDbType.Integer, rows, row => row.MemoryMb);
        Add(parameters, NpgsqlDbType.Bigint, rows, row => row.PeakMemoryBytes);
        Add(parameters, NpgsqlDbType.Boolean, rows, row => row.ColdStart);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.Engine);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.SandboxId);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.Unenforced);
        Add(parameters, NpgsqlDbType.Bigint, rows, InvocationRules.DataBytes);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.StartMode);
        Add(parameters, NpgsqlDbType.Text, rows, row => row.StartReason);
    }

    private static void AddCold(NpgsqlParameterCollection parameters, List<InvocationRow> rows)
    {
        Add(parameters, NpgsqlDbType.Text, rows, row => row.TenantId);
        Add(parameters, NpgsqlDbType.Uuid, rows, row => Guid.ParseExact(row.Id, "D"));
        Add(parameters, NpgsqlDbType.Text, rows, row => row.ErrorJson);
        Add(parameters, NpgsqlDbType.Bigint, rows, row => row.LogDroppedLines);
        Add(parameters, NpgsqlDbType.Bigint, rows, row => row.LogDroppedBytes);
        Add(parameters, NpgsqlDbType.Bytea, rows, row => Bytes(row.Payload));
        Add(parameters, NpgsqlDbType.Bytea, rows, row => Bytes(row.Result));
        Add(parameters, NpgsqlDbType.Bytea, rows, row => Bytes(row.Log));
    }

    private static void Add<T>(NpgsqlParameterCollection parameters, NpgsqlDbType type, List<InvocationRow> rows, Func<InvocationRow, T> value)
    {
        var column = new T[rows.Count];
        for (var i = 0; i < column.Length; i++)
        {
            column[i] = value(rows[i]);
        }

        parameters.Add(new NpgsqlParameter<T[]> { NpgsqlDbType = NpgsqlDbType.Array | type, TypedValue = column });
    }

    private static byte[]? Bytes(ReadOnlyMemory<byte>? memory)
    {
        if (memory is not { } bytes)
        {
            return null;
        }

        return MemoryMarshal.TryGetArray(bytes, out var segment) && segment.Array is { } array && array.Length == bytes.Length ? array : bytes.ToArray();
    }

    /// <summary>Whole milliseconds, as the other provider keeps.</summary>
    private static DateTime Time(DateTimeOffset time) => DateTimeOffset.FromUnixTimeMilliseconds(time.ToUnixTimeMilliseconds()).UtcDateTime;
}
