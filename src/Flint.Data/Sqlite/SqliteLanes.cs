using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Lanes that are limited or paused, on the writer thread.</summary>
internal static class SqliteLanes
{
    // A lane's use is noted so coarsely: most claims and enqueues leave the row alone.
    private const long UseNotedEvery = 60_000;

    private const int TidyPage = 1000;

    private const string FindLane = "SELECT paused, max_running, rate_starts, rate_period_ms, rate_next, used_at FROM lanes WHERE tenant_id = ? AND lane = ?";

    private const string WriteLane = """
        INSERT INTO lanes (tenant_id, lane, paused, max_running, rate_starts, rate_period_ms, rate_next, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, lane) DO UPDATE SET
            paused = excluded.paused, max_running = excluded.max_running, rate_starts = excluded.rate_starts, rate_period_ms = excluded.rate_period_ms,
            rate_next = excluded.rate_next, used_at = excluded.used_at
        """;

    private const string CountRunning = "SELECT count(*) FROM queue INDEXED BY ix_queue_limited WHERE tenant_id = ? AND lane = ? AND state = 'RUNNING' AND limited = 1";

    // What was claimed before there was a limit counts from now on.
    private const string MarkRunning = "UPDATE queue INDEXED BY ix_queue_worker SET limited = 1 WHERE state = 'RUNNING' AND tenant_id = ? AND lane = ?";

    private const string DeleteUnused = "DELETE FROM lanes WHERE tenant_id = ? AND lane = ? AND paused = 0 AND used_at <= ?";

    private const string DeleteKeys = """
        DELETE FROM idempotency_keys WHERE (tenant_id, key) IN (SELECT tenant_id, key FROM idempotency_keys WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)
        """;

    /// <summary>The row of a lane; null when it has none, and so neither limits nor a pause.</summary>
    public static SqliteLane? Find(SqliteWriteScope scope, string tenantId, string lane)
    {
        var find = scope.Statement(FindLane);
        find.Bind(1, tenantId);
        find.Bind(2, lane);
        using var rows = find.Rows();
        return rows.Next()
            ? new SqliteLane(
                rows.Bool(0),
                (int?)rows.LongOrNull(1),
                rows.IsNull(2) ? null : new LaneRate(rows.Int(2), TimeSpan.FromMilliseconds(rows.Long(3))),
                rows.Long(4),
                rows.Long(5))
            : null;
    }

    /// <summary>How many items of a limited lane run.</summary>
    public static int Running(SqliteWriteScope scope, string tenantId, string lane)
    {
        var count = scope.Statement(CountRunning);
        count.Bind(1, tenantId);
        count.Bind(2, lane);
        using var rows = count.Rows();
        rows.Next();
        return rows.Int(0);
    }

    /// <summary>Writes back a lane that a claim used.</summary>
    public static void Use(SqliteWriteScope scope, string tenantId, string lane, SqliteLane before, long rateNext, long now)
    {
        if (rateNext != before.RateNext || now - before.UsedAt >= UseNotedEvery)
        {
            Write(scope, tenantId, lane, before with { RateNext = rateNext, UsedAt = now });
        }
    }

    /// <summary>Limits that came with an entry.</summary>
    public static void Limit(SqliteWriteScope scope, string tenantId, string lane, LaneLimits limits, long now)
    {
        var before = Find(scope, tenantId, lane);
        var after = (before ?? new SqliteLane(false, null, null, 0, now)) with { MaxRunning = limits.MaxRunning, Rate = limits.Rate };
        if (before is null ? limits is { MaxRunning: null, Rate: null } : after == before && now - before.UsedAt < UseNotedEvery)
        {
            return;
        }

        Change(scope, tenantId, lane, before, after with { UsedAt = now });
    }

    public static bool Set(SqliteWriteScope scope, string tenantId, string lane, bool? paused, LaneLimits? limits, long now)
    {
        var before = Find(scope, tenantId, lane);
        var after = before ?? new SqliteLane(false, null, null, 0, now);
        after = after with
        {
            Paused = paused ?? after.Paused,
            MaxRunning = limits is null ? after.MaxRunning : limits.MaxRunning,
            Rate = limits is null ? after.Rate : limits.Rate,
            UsedAt = now,
        };
        if (before is not null || after is not { Paused: false, MaxRunning: null, Rate: null })
        {
            Change(scope, tenantId, lane, before, after);
        }

        return true;
    }

    /// <summary>Deletes lanes that were found unused and still are, and keys that are over. Returns how many.</summary>
    public static int Tidy(SqliteWriteScope scope, List<(string TenantId, string Lane)> lanes, TimeSpan unused, long now)
    {
        var deleted = 0;
        foreach (var (tenantId, lane) in lanes)
        {
            var delete = scope.Statement(DeleteUnused);
            delete.Bind(1, tenantId);
            delete.Bind(2, lane);
            delete.Bind(3, now - (long)unused.TotalMilliseconds);
            deleted += delete.Execute();
        }

        var keys = scope.Statement(DeleteKeys);
        keys.Bind(1, now);
        keys.Bind(2, (long)TidyPage);
        return deleted + keys.Execute();
    }

    private static void Change(SqliteWriteScope scope, string tenantId, string lane, SqliteLane? before, SqliteLane after)
    {
        Write(scope, tenantId, lane, after);
        if (after.MaxRunning is not null && before?.MaxRunning is null)
        {
            var mark = scope.Statement(MarkRunning);
            mark.Bind(1, tenantId);
            mark.Bind(2, lane);
            mark.Execute();
        }
    }

    private static void Write(SqliteWriteScope scope, string tenantId, string lane, SqliteLane row)
    {
        var write = scope.Statement(WriteLane);
        write.Bind(1, tenantId);
        write.Bind(2, lane);
        write.Bind(3, row.Paused ? 1L : 0L);
        write.Bind(4, row.MaxRunning);
        write.Bind(5, row.Rate?.Starts);
        write.Bind(6, (long?)row.Rate?.Period.TotalMilliseconds);
        write.Bind(7, row.RateNext);
        write.Bind(8, row.UsedAt);
        write.Execute();
    }
}

/// <param name="RateNext">In microseconds.</param>
/// <param name="UsedAt">In milliseconds.</param>
internal sealed record SqliteLane(bool Paused, int? MaxRunning, LaneRate? Rate, long RateNext, long UsedAt);
