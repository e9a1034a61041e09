using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Workers and their leases, on the writer thread.</summary>
internal static class SqliteWorkers
{
    private const string Upsert = """
        INSERT INTO workers (id, name, product_version, roles, places, running, draining, details, lease_until, seen_at, started_at, drain_asked)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?10, ?7)
        ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until, seen_at = excluded.seen_at
        """;

    private const string Update = """
        UPDATE workers SET name = ?2, product_version = ?3, roles = ?4, places = ?5, running = ?6, draining = ?7, details = ?8, lease_until = ?9, seen_at = ?10
        WHERE id = ?1 AND lease_until > ?10 RETURNING drain_asked
        """;

    private const string Holds = "SELECT 1 FROM workers WHERE id = ? AND lease_until > ?";
    private const string Items = "SELECT tenant_id, id, lease_no FROM queue INDEXED BY ix_queue_worker WHERE state = 'RUNNING' AND worker_id = ?";
    private const string Drain = "UPDATE workers SET drain_asked = ? WHERE id = ? AND lease_until > ?";
    private const string Delete = "DELETE FROM workers WHERE id = ?";

    private const string GiveBack = """
        UPDATE queue INDEXED BY ix_queue_worker SET state = 'READY', attempt = attempt - 1, worker_id = NULL, claimed_at = NULL, limited = 0
        WHERE state = 'RUNNING' AND worker_id = ?
        """;

    /// <summary>True while the worker's lease is not over.</summary>
    public static bool HoldsLease(SqliteWriteScope scope, string workerId, long now)
    {
        var holds = scope.Statement(Holds);
        holds.Bind(1, workerId);
        holds.Bind(2, now);
        using var rows = holds.Rows();
        return rows.Next();
    }

    public static bool Register(SqliteWriteScope scope, WorkerInfo worker, long now, TimeSpan lease)
    {
        var insert = scope.Statement(Upsert);
        Bind(insert, worker, now, lease);
        insert.Execute();
        return true;
    }

    public static Renewal Renew(SqliteWriteScope scope, WorkerInfo worker, long now, TimeSpan lease)
    {
        var update = scope.Statement(Update);
        Bind(update, worker, now, lease);
        bool drain;
        using (var rows = update.Rows())
        {
            if (!rows.Next())
            {
                return new Renewal(false, [], false);
            }

            drain = rows.Bool(0);
        }

        return new Renewal(true, Leased(scope, worker.Id), drain);
    }

    public static bool Leave(SqliteWriteScope scope, string workerId)
    {
        var giveBack = scope.Statement(GiveBack);
        giveBack.Bind(1, workerId);
        giveBack.Execute();
        var delete = scope.Statement(Delete);
        delete.Bind(1, workerId);
        return delete.Execute() > 0;
    }

    public static bool AskDrain(SqliteWriteScope scope, string workerId, bool drain, long now)
    {
        var update = scope.Statement(Drain);
        update.Bind(1, drain ? 1L : 0L);
        update.Bind(2, workerId);
        update.Bind(3, now);
        return update.Execute() > 0;
    }

    private static List<LeasedItem> Leased(SqliteWriteScope scope, string workerId)
    {
        var items = scope.Statement(Items);
        items.Bind(1, workerId);
        var leased = new List<LeasedItem>();
        using var rows = items.Rows();
        while (rows.Next())
        {
            leased.Add(new LeasedItem(rows.Text(0), rows.Id(1).ToString("D"), rows.Long(2)));
        }

        return leased;
    }

    private static void Bind(SqliteStatement statement, WorkerInfo worker, long now, TimeSpan lease)
    {
        statement.Bind(1, worker.Id);
        statement.Bind(2, worker.Name);
        statement.Bind(3, worker.ProductVersion);
        statement.Bind(4, worker.Roles);
        statement.Bind(5, (long)worker.Places);
        statement.Bind(6, (long)worker.Running);
        statement.Bind(7, worker.Draining ? 1L : 0L);
        statement.Bind(8, worker.DetailsJson);
        statement.Bind(9, now + (long)lease.TotalMilliseconds);
        statement.Bind(10, now);
    }
}
