using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>What one claim takes from lanes, within their limits. On the writer thread.</summary>
internal sealed class SqliteTaking(SqliteWriteScope scope, string workerId, long nowMicroseconds)
{
    private const string TakeReady = """
        UPDATE queue SET state = 'RUNNING', worker_id = ?5, claimed_at = ?6, attempt = attempt + 1, lease_no = lease_no + 1, limited = ?4
        WHERE tenant_id = ?1 AND id IN (
            SELECT id FROM queue INDEXED BY ix_queue_ready WHERE state = 'READY' AND tenant_id = ?1 AND lane = ?2 ORDER BY priority DESC, run_at, id LIMIT ?3)
        RETURNING id, priority, run_at, attempt, lease_no, losses, expires_at
        """;

    private readonly List<SqliteTaken> _lane = [];

    /// <summary>In the order in which they should begin.</summary>
    public List<SqliteTaken> Taken { get; } = [];

    /// <summary>When a lane that gave less for its rate may give more, in microseconds; the greatest number when none.</summary>
    public long NextDue { get; private set; } = long.MaxValue;

    /// <summary>Takes at most so many; returns how many.</summary>
    public int Take(string tenant, string lane, int wanted)
    {
        if (SqliteLanes.Find(scope, tenant, lane) is not { } row)
        {
            return Take(tenant, lane, wanted, limited: false);
        }

        if (row.Paused)
        {
            return 0;
        }

        var allowed = row.MaxRunning is { } most ? Math.Clamp(most - SqliteLanes.Running(scope, tenant, lane), 0, wanted) : wanted;
        var next = row.RateNext;
        if (row.Rate is not { } rate)
        {
            var unrated = allowed == 0 ? 0 : Take(tenant, lane, allowed, row.MaxRunning is not null);
            SqliteLanes.Use(scope, tenant, lane, row, next, nowMicroseconds / 1000);
            return unrated;
        }

        // The rate is asked first and told afterwards: there may be fewer items than it allows.
        var starts = CellRate.Take(ref next, nowMicroseconds, rate, allowed, out var due);
        var taken = starts == 0 ? 0 : Take(tenant, lane, starts, row.MaxRunning is not null);
        next = row.RateNext;
        CellRate.Take(ref next, nowMicroseconds, rate, taken, out _);
        SqliteLanes.Use(scope, tenant, lane, row, next, nowMicroseconds / 1000);
        if (starts < allowed)
        {
            NextDue = Math.Min(NextDue, due);
        }

        return taken;
    }

    private int Take(string tenant, string lane, int most, bool limited)
    {
        var take = scope.Statement(TakeReady);
        take.Bind(1, tenant);
        take.Bind(2, lane);
        take.Bind(3, (long)most);
        take.Bind(4, limited ? 1L : 0L);
        take.Bind(5, workerId);
        take.Bind(6, nowMicroseconds / 1000);
        _lane.Clear();
        using (var rows = take.Rows())
        {
            while (rows.Next())
            {
                _lane.Add(new SqliteTaken(
                    tenant, rows.Id(0), lane, rows.Int(1), rows.Long(2), rows.Int(3), rows.Long(4), rows.Int(5), rows.LongOrNull(6)));
            }
        }

        _lane.Sort(SqliteTaken.InOrder);
        Taken.AddRange(_lane);
        return _lane.Count;
    }
}

/// <summary>An item's row as it was claimed; times in milliseconds.</summary>
internal readonly record struct SqliteTaken(
    string TenantId, Guid Id, string Lane, int Priority, long RunAt, int Attempt, long LeaseNo, int Losses, long? ExpiresAt)
{
    public static readonly Comparison<SqliteTaken> InOrder = (one, other) =>
        one.Priority != other.Priority ? other.Priority.CompareTo(one.Priority)
        : one.RunAt != other.RunAt ? one.RunAt.CompareTo(other.RunAt)
        : one.Id.CompareTo(other.Id);
}
