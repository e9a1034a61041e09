using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Ends that no worker tells of: cancelled, expired, lost. On the writer thread.</summary>
internal static class SqliteEnd
{
    private const string Expiring = """
        SELECT tenant_id, id FROM queue INDEXED BY ix_queue_expiry
        WHERE expires_at IS NOT NULL AND state <> 'RUNNING' AND expires_at <= ? ORDER BY expires_at LIMIT ?
        """;

    private const string DeleteQueue = "DELETE FROM queue WHERE tenant_id = ? AND id = ? RETURNING attempt, claimed_at, worker_id";

    private const string UpdateRow = """
        UPDATE invocations SET status = ?, error_type = ?, started_at = ?, completed_at = ?, attempts = ?, data_bytes = data_bytes + ? WHERE tenant_id = ? AND id = ?
        """;

    private const string WriteError = """
        INSERT INTO invocation_data (tenant_id, id, error, log_dropped_lines, log_dropped_bytes) VALUES (?, ?, ?, 0, 0)
        ON CONFLICT (tenant_id, id) DO UPDATE SET error = excluded.error
        """;

    /// <summary>Returns the id of the worker that runs it, empty when it waited, null when there is none.</summary>
    public static string? Cancel(SqliteWriteScope scope, string tenantId, Guid id, long now) =>
        End(scope, tenantId, id.ToByteArray(bigEndian: true), "CANCELLED", QueueRules.Cancelled, QueueRules.CancelledJson, now);

    public static IReadOnlyList<string> Expire(SqliteWriteScope scope, int limit, long now)
    {
        var over = new List<(string TenantId, byte[] Id)>();
        var find = scope.Statement(Expiring);
        find.Bind(1, now);
        find.Bind(2, (long)limit);
        using (var rows = find.Rows())
        {
            while (rows.Next())
            {
                over.Add((rows.Text(0), rows.Bytes(1)));
            }
        }

        foreach (var (tenantId, id) in over)
        {
            End(scope, tenantId, id, "FAILED", QueueRules.Expired, QueueRules.ExpiredJson, now);
        }

        return over.ConvertAll(item => new Guid(item.Id, bigEndian: true).ToString("D"));
    }

    public static void Lose(SqliteWriteScope scope, string tenantId, byte[] id, int losses, long now) =>
        End(scope, tenantId, id, "FAILED", QueueRules.SandboxLost, QueueRules.SandboxLostJson(losses), now);

    private static string? End(SqliteWriteScope scope, string tenantId, byte[] id, string status, string errorType, string errorJson, long now)
    {
        if (Remove(scope, tenantId, id) is not { } item)
        {
            return null;
        }

        var update = scope.Statement(UpdateRow);
        update.Bind(1, status);
        update.Bind(2, errorType);
        update.Bind(3, item.ClaimedAt);
        update.Bind(4, now);
        update.Bind(5, item.Attempts);
        update.Bind(6, (long)errorJson.Length);
        update.Bind(7, tenantId);
        update.Bind(8, id);
        update.Execute();

        var error = scope.Statement(WriteError);
        error.Bind(1, tenantId);
        error.Bind(2, id);
        error.Bind(3, errorJson);
        error.Execute();
        scope.AddToTotal(tenantId, errorJson.Length);
        return item.WorkerId;
    }

    private static (long Attempts, long? ClaimedAt, string WorkerId)? Remove(SqliteWriteScope scope, string tenantId, byte[] id)
    {
        var delete = scope.Statement(DeleteQueue);
        delete.Bind(1, tenantId);
        delete.Bind(2, id);
        using var rows = delete.Rows();
        return rows.Next() ? (rows.Long(0), rows.LongOrNull(1), rows.TextOrNull(2) ?? "") : null;
    }
}
