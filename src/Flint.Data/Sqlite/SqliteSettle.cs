using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Settles attempts, on the writer thread. Every write begins with the queue's row, by lease: without it there is none.</summary>
internal static class SqliteSettle
{
    private const string Leased = "WHERE tenant_id = ? AND id = ? AND state = 'RUNNING' AND lease_no = ?";

    private const string FindLeased = $"SELECT attempt FROM queue {Leased}";
    private const string DeleteLeased = $"DELETE FROM queue {Leased}";

    private const string GiveBack = $"""
        UPDATE queue SET state = ?4, run_at = coalesce(?5, run_at), attempt = attempt - ?6, expires_at = iif(?7, NULL, expires_at),
            worker_id = NULL, claimed_at = NULL, limited = 0
        WHERE tenant_id = ?1 AND id = ?2 AND state = 'RUNNING' AND lease_no = ?3
        """;

    private const string UpdateRow = """
        UPDATE invocations SET
            status = ?, error_type = ?, version = ?, started_at = ?, completed_at = ?, duration_ms = ?, init_duration_ms = ?, billed_ms = ?, memory_mb = ?,
            peak_memory_bytes = ?, cold_start = ?, engine = ?, sandbox_id = ?, unenforced = ?, start_mode = ?, start_reason = ?, attempts = ?,
            data_bytes = data_bytes + ?
        WHERE tenant_id = ? AND id = ?
        """;

    private const string InsertData = """
        INSERT INTO invocation_data (tenant_id, id, error, log_dropped_lines, log_dropped_bytes, result, log, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, id) DO UPDATE SET
            error = excluded.error, log_dropped_lines = excluded.log_dropped_lines, log_dropped_bytes = excluded.log_dropped_bytes,
            result = excluded.result, log = excluded.log, attempts = coalesce(excluded.attempts, attempts)
        """;

    private const string WriteAttempts = """
        INSERT INTO invocation_data (tenant_id, id, log_dropped_lines, log_dropped_bytes, attempts) VALUES (?, ?, 0, 0, ?)
        ON CONFLICT (tenant_id, id) DO UPDATE SET attempts = excluded.attempts
        """;

    private const string PayloadBytes = "SELECT octet_length(payload) FROM invocation_work WHERE tenant_id = ? AND id = ? AND payload IS NOT NULL";
    private const string ForgetPayload = "UPDATE invocation_work SET payload = NULL WHERE tenant_id = ? AND id = ?";

    private const string InsertLetter = """
        INSERT INTO dead_letters (tenant_id, list, id, function_name, error_type, added_at)
        SELECT tenant_id, ?, id, function_name, error_type, ? FROM invocations WHERE tenant_id = ? AND id = ?
        ON CONFLICT DO NOTHING
        """;

    /// <param name="scope">The writer's.</param>
    /// <param name="settlements">Checked and cleaned.</param>
    /// <param name="now">Unix milliseconds.</param>
    public static IReadOnlyList<bool> All(SqliteWriteScope scope, IReadOnlyList<Settlement> settlements, long now)
    {
        var done = new bool[settlements.Count];
        for (var i = 0; i < done.Length; i++)
        {
            done[i] = settlements[i] switch
            {
                Settlement.Finished finished => Finish(scope, finished, now),
                Settlement.Retry retry => Retry(scope, retry, now),
                _ => Return(scope, settlements[i], null, counts: false, begun: false, now),
            };
        }

        return done;
    }

    private static bool Finish(SqliteWriteScope scope, Settlement.Finished finished, long now)
    {
        if (!InvocationId.TryParse(finished.Id, out var key))
        {
            return false;
        }

        Span<byte> id = stackalloc byte[16];
        key.TryWriteBytes(id, bigEndian: true, out _);
        if (Leave(scope, finished, id) is not { } attempts)
        {
            return false;
        }

        var bytes = InvocationRules.OutputBytes(finished.Row) - (finished.KeepPayload ? 0 : Forget(scope, finished.TenantId, id));
        UpdateRecord(scope, finished.Row, id, attempts, bytes);
        WriteData(scope, finished, id);
        scope.AddToTotal(finished.TenantId, bytes);
        if (finished.DeadLetterList is { } list)
        {
            AddLetter(scope, finished.TenantId, list, id, now);
        }

        if (finished.Then.Count > 0)
        {
            SqliteEnqueue.Add(scope, finished.Then, now);
        }

        return true;
    }

    private static bool Retry(SqliteWriteScope scope, Settlement.Retry retry, long now)
    {
        if (!Return(scope, retry, SqliteEnqueue.Later(now, retry.Delay), retry.CountsAsAttempt, begun: retry.CountsAsAttempt, now))
        {
            return false;
        }

        if (retry.AttemptsJson is { } attempts)
        {
            var write = scope.Statement(WriteAttempts);
            write.Bind(1, retry.TenantId);
            write.Bind(2, Key(retry.Id));
            write.Bind(3, attempts);
            write.Execute();
        }

        return true;
    }

    private static bool Return(SqliteWriteScope scope, Settlement settlement, long? runAt, bool counts, bool begun, long now)
    {
        if (!InvocationId.TryParse(settlement.Id, out _))
        {
            return false;
        }

        var update = scope.Statement(GiveBack);
        update.Bind(1, settlement.TenantId);
        update.Bind(2, Key(settlement.Id));
        update.Bind(3, settlement.LeaseNo);
        update.Bind(4, runAt > now ? "DELAYED" : "READY");
        update.Bind(5, runAt);
        update.Bind(6, counts ? 0L : 1L);
        update.Bind(7, begun ? 1L : 0L);
        return update.Execute() > 0;
    }

    /// <summary>Takes it out of the queue; returns how many attempts were begun, or null when the lease is lost.</summary>
    private static long? Leave(SqliteWriteScope scope, Settlement.Finished finished, ReadOnlySpan<byte> id)
    {
        // Two statements: one that returns rows would build a table of them first.
        long attempts;
        var find = scope.Statement(FindLeased);
        BindLease(find, finished, id);
        using (var rows = find.Rows())
        {
            if (!rows.Next())
            {
                return null;
            }

            attempts = rows.Long(0);
        }

        var delete = scope.Statement(DeleteLeased);
        BindLease(delete, finished, id);
        delete.Execute();
        return attempts;
    }

    private static void BindLease(SqliteStatement statement, Settlement.Finished finished, ReadOnlySpan<byte> id)
    {
        statement.Bind(1, finished.TenantId);
        statement.Bind(2, id);
        statement.Bind(3, finished.LeaseNo);
    }

    private static void UpdateRecord(SqliteWriteScope scope, InvocationRow row, ReadOnlySpan<byte> id, long attempts, long bytes)
    {
        var update = scope.Statement(UpdateRow);
        update.Bind(1, row.Status);
        update.Bind(2, row.ErrorType);
        update.Bind(3, row.Version.Length == 0 ? null : row.Version);
        update.Bind(4, row.StartedAt?.ToUnixTimeMilliseconds());
        update.Bind(5, row.CompletedAt?.ToUnixTimeMilliseconds());
        update.Bind(6, row.DurationMs);
        update.Bind(7, row.InitDurationMs);
        update.Bind(8, row.BilledMs);
        update.Bind(9, (long)row.MemoryMb);
        update.Bind(10, row.PeakMemoryBytes);
        update.Bind(11, row.ColdStart is { } cold ? cold ? 1L : 0L : null);
        update.Bind(12, row.Engine);
        update.Bind(13, row.SandboxId);
        update.Bind(14, row.Unenforced);
        update.Bind(15, row.StartMode);
        update.Bind(16, row.StartReason);
        update.Bind(17, attempts);
        update.Bind(18, bytes);
        update.Bind(19, row.TenantId);
        update.Bind(20, id);
        update.Execute();
    }

    private static void WriteData(SqliteWriteScope scope, Settlement.Finished finished, ReadOnlySpan<byte> id)
    {
        var row = finished.Row;
        if (finished.AttemptsJson is null && !InvocationRules.HasOutput(row))
        {
            return;
        }

        var insert = scope.Statement(InsertData);
        insert.Bind(1, row.TenantId);
        insert.Bind(2, id);
        insert.Bind(3, row.ErrorJson);
        insert.Bind(4, row.LogDroppedLines);
        insert.Bind(5, row.LogDroppedBytes);
        insert.Bind(6, row.Result);
        insert.Bind(7, row.Log);
        insert.Bind(8, finished.AttemptsJson);
        insert.Execute();
    }

    /// <summary>Removes the stored payload; returns what it took.</summary>
    private static long Forget(SqliteWriteScope scope, string tenantId, ReadOnlySpan<byte> id)
    {
        var size = scope.Statement(PayloadBytes);
        size.Bind(1, tenantId);
        size.Bind(2, id);
        long bytes;
        using (var rows = size.Rows())
        {
            if (!rows.Next())
            {
                return 0;
            }

            bytes = rows.Long(0);
        }

        var forget = scope.Statement(ForgetPayload);
        forget.Bind(1, tenantId);
        forget.Bind(2, id);
        forget.Execute();
        return bytes;
    }

    private static void AddLetter(SqliteWriteScope scope, string tenantId, string list, ReadOnlySpan<byte> id, long now)
    {
        var insert = scope.Statement(InsertLetter);
        insert.Bind(1, list);
        insert.Bind(2, now);
        insert.Bind(3, tenantId);
        insert.Bind(4, id);
        insert.Execute();
    }

    internal static byte[] Key(string id) => Guid.ParseExact(id, "D").ToByteArray(bigEndian: true);
}
