using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>What is done to history on the writer thread.</summary>
internal static class SqliteInvocationWriter
{
    private const string InsertRow = """
        INSERT INTO invocations (
            tenant_id, id, status, mode, function_id, function_name, version, qualifier, error_type, created_at, started_at, completed_at,
            duration_ms, init_duration_ms, billed_ms, memory_mb, peak_memory_bytes, cold_start, engine, sandbox_id, unenforced, data_bytes,
            start_mode, start_reason)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """;

    private const string InsertData = """
        INSERT INTO invocation_data (tenant_id, id, error, log_dropped_lines, log_dropped_bytes, payload, result, log)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
        """;

    private const string DeleteRow = $"DELETE FROM invocations WHERE tenant_id = ? AND id = ? AND {InvocationSql.Finished}";
    private const string DeleteData = "DELETE FROM invocation_data WHERE tenant_id = ? AND id = ?";
    private const string DeleteWork = "DELETE FROM invocation_work WHERE tenant_id = ? AND id = ? RETURNING tags";
    private const string DeleteTag = "DELETE FROM invocation_tags WHERE tenant_id = ? AND id = ? AND tag = ?";
    private const string DeleteLetters = "DELETE FROM dead_letters WHERE tenant_id = ? AND id = ?";

    /// <summary>Returns how many rows were new.</summary>
    public static int Append(SqliteWriteScope scope, List<InvocationRow> rows)
    {
        var insertRow = scope.Statement(InsertRow);
        var insertData = scope.Statement(InsertData);
        Span<byte> id = stackalloc byte[16];
        var added = 0;
        foreach (var row in rows)
        {
            Guid.ParseExact(row.Id, "D").TryWriteBytes(id, bigEndian: true, out _);
            if (Insert(insertRow, row, id) > 0)
            {
                InsertCold(insertData, row, id);
                added++;
                scope.AddToTotal(row.TenantId, InvocationRules.DataBytes(row));
            }
        }

        return added;
    }

    /// <summary>Deletes those that are still finished; returns how many.</summary>
    public static int Delete(SqliteWriteScope scope, string tenantId, List<(byte[] Id, long Bytes)> rows)
    {
        var deleteRow = scope.Statement(DeleteRow);
        var deleteData = scope.Statement(DeleteData);
        var deleted = 0;
        var freed = 0L;
        foreach (var (id, bytes) in rows)
        {
            deleteRow.Bind(1, tenantId);
            deleteRow.Bind(2, id);
            if (deleteRow.Execute() > 0)
            {
                deleteData.Bind(1, tenantId);
                deleteData.Bind(2, id);
                deleteData.Execute();
                DeleteQueued(scope, tenantId, id);
                deleted++;
                freed += bytes;
            }
        }

        scope.AddToTotal(tenantId, -freed);
        return deleted;
    }

    /// <summary>What only invocations that were queued have.</summary>
    private static void DeleteQueued(SqliteWriteScope scope, string tenantId, byte[] id)
    {
        if (DeleteInput(scope, tenantId, id) is not { } tags)
        {
            return;
        }

        foreach (var tag in tags)
        {
            var deleteTag = scope.Statement(DeleteTag);
            deleteTag.Bind(1, tenantId);
            deleteTag.Bind(2, id);
            deleteTag.Bind(3, tag);
            deleteTag.Execute();
        }

        var deleteLetters = scope.Statement(DeleteLetters);
        deleteLetters.Bind(1, tenantId);
        deleteLetters.Bind(2, id);
        deleteLetters.Execute();
    }

    /// <summary>Returns its tags, or null when it was never queued.</summary>
    private static IReadOnlyList<string>? DeleteInput(SqliteWriteScope scope, string tenantId, byte[] id)
    {
        var deleteWork = scope.Statement(DeleteWork);
        deleteWork.Bind(1, tenantId);
        deleteWork.Bind(2, id);
        using var rows = deleteWork.Rows();
        return rows.Next() ? TagText.Parse(rows.TextOrNull(0)) : null;
    }

    private static int Insert(SqliteStatement statement, InvocationRow row, ReadOnlySpan<byte> id)
    {
        statement.Bind(1, row.TenantId);
        statement.Bind(2, id);
        statement.Bind(3, row.Status);
        statement.Bind(4, row.Mode);
        statement.Bind(5, row.FunctionId);
        statement.Bind(6, row.FunctionName);
        statement.Bind(7, row.Version);
        statement.Bind(8, row.Qualifier);
        statement.Bind(9, row.ErrorType);
        statement.Bind(10, row.CreatedAt.ToUnixTimeMilliseconds());
        statement.Bind(11, row.StartedAt?.ToUnixTimeMilliseconds());
        statement.Bind(12, row.CompletedAt?.ToUnixTimeMilliseconds());
        statement.Bind(13, row.DurationMs);
        statement.Bind(14, row.InitDurationMs);
        statement.Bind(15, row.BilledMs);
        statement.Bind(16, (long)row.MemoryMb);
        statement.Bind(17, row.PeakMemoryBytes);
        statement.Bind(18, row.ColdStart is { } cold ? cold ? 1L : 0L : null);
        statement.Bind(19, row.Engine);
        statement.Bind(20, row.SandboxId);
        statement.Bind(21, row.Unenforced);
        statement.Bind(22, InvocationRules.DataBytes(row));
        statement.Bind(23, row.StartMode);
        statement.Bind(24, row.StartReason);
        return statement.Execute();
    }

    private static void InsertCold(SqliteStatement statement, InvocationRow row, ReadOnlySpan<byte> id)
    {
        if (!InvocationRules.HasData(row))
        {
            return;
        }

        statement.Bind(1, row.TenantId);
        statement.Bind(2, id);
        statement.Bind(3, row.ErrorJson);
        statement.Bind(4, row.LogDroppedLines);
        statement.Bind(5, row.LogDroppedBytes);
        statement.Bind(6, row.Payload);
        statement.Bind(7, row.Result);
        statement.Bind(8, row.Log);
        statement.Execute();
    }
}
