using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>
/// Claims on the writer thread, going around: tenants in turn, a tenant's lanes in turn, a lane's items by priority and time. The turns' cursors outlive a claim, so that one
/// place at a time is as fair as many. Lanes are found by skipping through the index: 100,000 items in one lane cost no more than one.
/// </summary>
internal sealed class SqliteClaim
{
    private const int MaxTenants = 32;
    private const int MaxLanes = 8;

    // Lanes that one claim looks at. When they give less than was asked for, the next claim goes on behind them.
    private const int MaxLooks = MaxTenants * MaxLanes;
    private const int PromotePage = 1000;
    private const int CursorLimit = 10_000;
    private const long SoonMicroseconds = 20_000;

    private const string Promote = """
        UPDATE queue SET state = 'READY' WHERE (tenant_id, id) IN (
            SELECT tenant_id, id FROM queue INDEXED BY ix_queue_delayed WHERE state = 'DELAYED' AND run_at <= ? ORDER BY run_at LIMIT ?)
        """;

    private const string NextDelayed = "SELECT run_at FROM queue INDEXED BY ix_queue_delayed WHERE state = 'DELAYED' ORDER BY run_at LIMIT 1";

    private const string NextTenant = "SELECT tenant_id FROM queue INDEXED BY ix_queue_ready WHERE state = 'READY' AND tenant_id > ? ORDER BY tenant_id LIMIT 1";

    private const string NextLane = """
        SELECT lane FROM queue INDEXED BY ix_queue_ready WHERE state = 'READY' AND tenant_id = ? AND lane > ? ORDER BY lane LIMIT 1
        """;

    private readonly Dictionary<string, string> _laneCursors = new(StringComparer.Ordinal);
    private string _tenantCursor = "";

    public ClaimResult Run(SqliteWriteScope scope, ClaimRequest request, long nowMicroseconds)
    {
        var now = nowMicroseconds / 1000;
        if (!SqliteWorkers.HoldsLease(scope, request.WorkerId, now))
        {
            return new ClaimResult([], false, null);
        }

        PromoteDue(scope, now);
        var taking = new SqliteTaking(scope, request.WorkerId, nowMicroseconds);
        var looks = MaxLooks;
        TakeAround(scope, taking, request.Places, ref looks);
        var due = looks > 0 ? taking.NextDue : Math.Min(taking.NextDue, nowMicroseconds + SoonMicroseconds);
        var items = SqliteClaimedItems.Read(scope, taking.Taken, now);
        return new ClaimResult(items, true, Due(scope, due, nowMicroseconds));
    }

    /// <summary>Rounds over the tenants that have items, each getting an equal share of what is left; those that give less than their share are done.</summary>
    private void TakeAround(SqliteWriteScope scope, SqliteTaking taking, int places, ref int looks)
    {
        var tenants = new Turns(_tenantCursor, after => Text(scope, NextTenant, after, null));
        while (places > 0 && looks > 0 && tenants.Fill(Math.Min(MaxTenants, places)))
        {
            var share = Math.Max(1, places / tenants.Live.Count);
            for (var i = 0; i < tenants.Live.Count && places > 0 && looks > 0;)
            {
                var tenant = tenants.Live[i];
                var wanted = Math.Min(share, places);
                var taken = TakeFrom(scope, taking, tenant, wanted, ref looks);
                places -= taken;
                _tenantCursor = tenant;
                i = tenants.Next(i, taken == wanted);
            }
        }
    }

    private int TakeFrom(SqliteWriteScope scope, SqliteTaking taking, string tenant, int wanted, ref int looks)
    {
        var left = wanted;
        var lanes = new Turns(_laneCursors.GetValueOrDefault(tenant, ""), after => Text(scope, NextLane, tenant, after));
        while (left > 0 && looks > 0 && lanes.Fill(Math.Min(MaxLanes, left)))
        {
            var share = Math.Max(1, left / lanes.Live.Count);
            for (var i = 0; i < lanes.Live.Count && left > 0 && looks > 0;)
            {
                var lane = lanes.Live[i];
                var asked = Math.Min(share, left);
                var taken = taking.Take(tenant, lane, asked);
                left -= taken;
                looks--;
                Remember(tenant, lane);
                i = lanes.Next(i, taken == asked);
            }
        }

        return wanted - left;
    }

    private void Remember(string tenant, string lane)
    {
        if (_laneCursors.Count >= CursorLimit && !_laneCursors.ContainsKey(tenant))
        {
            _laneCursors.Clear();
        }

        _laneCursors[tenant] = lane;
    }

    private static void PromoteDue(SqliteWriteScope scope, long now)
    {
        if (FirstDelayed(scope) <= now)
        {
            var promote = scope.Statement(Promote);
            promote.Bind(1, now);
            promote.Bind(2, (long)PromotePage);
            promote.Execute();
        }
    }

    private static long? FirstDelayed(SqliteWriteScope scope)
    {
        using var rows = scope.Statement(NextDelayed).Rows();
        return rows.Next() ? rows.Long(0) : null;
    }

    private static TimeSpan? Due(SqliteWriteScope scope, long due, long now)
    {
        due = FirstDelayed(scope) is { } runAt ? Math.Min(due, runAt * 1000) : due;
        return due == long.MaxValue ? null : TimeSpan.FromMicroseconds(Math.Max(0, due - now));
    }

    private static string? Text(SqliteWriteScope scope, string sql, string first, string? second)
    {
        var statement = scope.Statement(sql);
        statement.Bind(1, first);
        if (second is not null)
        {
            statement.Bind(2, second);
        }

        using var rows = statement.Rows();
        return rows.Next() ? rows.Text(0) : null;
    }

    /// <summary>Names in order, once around from a cursor: those that are in turn, and how to find more.</summary>
    private sealed class Turns(string cursor, Func<string, string?> next)
    {
        private string? _last;
        private bool _wrapped;
        private bool _ended;

        public List<string> Live { get; } = [];

        /// <summary>Finds names until so many are in turn, or all were; false when none is.</summary>
        public bool Fill(int most)
        {
            while (Live.Count < most && !_ended)
            {
                var found = next(_last ?? cursor);
                if (found is null && !_wrapped && cursor.Length > 0)
                {
                    _wrapped = true;
                    found = next("");
                }

                if (found is null || (_wrapped && string.CompareOrdinal(found, cursor) > 0))
                {
                    _ended = true;
                }
                else
                {
                    Live.Add(found);
                    _last = found;
                }
            }

            return Live.Count > 0;
        }

        /// <summary>The place after <paramref name="index"/>, whose name is dropped when it gives no more.</summary>
        public int Next(int index, bool keep)
        {
            if (keep)
            {
                return index + 1;
            }

            Live.RemoveAt(index);
            return index;
        }
    }
}
