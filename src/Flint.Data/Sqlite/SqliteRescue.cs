using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Takes items of workers whose lease is over, on the writer thread.</summary>
internal static class SqliteRescue
{
    // Few items run at a time: all of them are looked at.
    private const string Find = """
        SELECT q.tenant_id, q.id, q.losses FROM queue q INDEXED BY ix_queue_worker
        WHERE q.state = 'RUNNING' AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = q.worker_id AND (w.id = ?2 OR (w.lease_until > ?1 AND NOT ?3)))
        """;

    private const string Requeue = """
        UPDATE queue SET state = 'READY', losses = losses + 1, expires_at = NULL, worker_id = NULL, claimed_at = NULL, limited = 0 WHERE tenant_id = ? AND id = ?
        """;

    private const string DeleteWorkers = "DELETE FROM workers WHERE id IS NOT ?2 AND (lease_until <= ?1 OR ?3)";

    public static RescueResult Run(SqliteWriteScope scope, int maxLosses, bool all, string? exceptWorkerId, long now)
    {
        // The exception is from the void of all leases; its own, when over, is over.
        var spared = all ? exceptWorkerId : null;
        var requeued = new List<string>();
        var lost = new List<string>();
        foreach (var (tenantId, id, losses) in Orphans(scope, all, spared, now))
        {
            var text = new Guid(id, bigEndian: true).ToString("D");
            if (losses + 1 >= maxLosses)
            {
                SqliteEnd.Lose(scope, tenantId, id, losses + 1, now);
                lost.Add(text);
            }
            else
            {
                var requeue = scope.Statement(Requeue);
                requeue.Bind(1, tenantId);
                requeue.Bind(2, id);
                requeue.Execute();
                requeued.Add(text);
            }
        }

        var delete = scope.Statement(DeleteWorkers);
        Bind(delete, all, spared, now);
        delete.Execute();
        return new RescueResult(requeued, lost);
    }

    private static List<(string TenantId, byte[] Id, int Losses)> Orphans(SqliteWriteScope scope, bool all, string? spared, long now)
    {
        var find = scope.Statement(Find);
        Bind(find, all, spared, now);
        var orphans = new List<(string, byte[], int)>();
        using var rows = find.Rows();
        while (rows.Next())
        {
            orphans.Add((rows.Text(0), rows.Bytes(1), rows.Int(2)));
        }

        return orphans;
    }

    private static void Bind(SqliteStatement statement, bool all, string? spared, long now)
    {
        statement.Bind(1, now);
        statement.Bind(2, spared);
        statement.Bind(3, all ? 1L : 0L);
    }
}
