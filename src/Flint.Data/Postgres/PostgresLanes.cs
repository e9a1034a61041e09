using Flint.Data.Queue;
using Npgsql;
using NpgsqlTypes;

namespace Flint.Data.Postgres;

/// <summary>Lanes' pauses and limits, and what tidies up after them.</summary>
internal sealed class PostgresLanes(PostgresDatabase database)
{
    private const int Page = 1000;

    // What runs already counts against a limit that is new.
    private const string Set = """
        WITH lane AS (
            INSERT INTO lanes AS l (tenant_id, lane, paused, max_running, rate_starts, rate_period_ms, used_at)
            VALUES ($1, $2, coalesce($3, FALSE), $5, $6, $7, clock_timestamp())
            ON CONFLICT (tenant_id, lane) DO UPDATE SET
                paused = coalesce($3, l.paused),
                max_running = CASE WHEN $4 THEN $5 ELSE l.max_running END,
                rate_starts = CASE WHEN $4 THEN $6 ELSE l.rate_starts END,
                rate_period_ms = CASE WHEN $4 THEN $7 ELSE l.rate_period_ms END,
                used_at = clock_timestamp()
            RETURNING l.max_running)
        UPDATE queue q SET limited = TRUE
        FROM (
            SELECT r.tenant_id, r.id FROM queue r CROSS JOIN lane
            WHERE r.state = 'RUNNING' AND NOT r.limited AND r.tenant_id = $1 AND r.lane = $2 AND lane.max_running IS NOT NULL
            FOR UPDATE OF r SKIP LOCKED) r
        WHERE q.tenant_id = r.tenant_id AND q.id = r.id
        """;

    private const string View = """
        SELECT l.paused, l.max_running, l.rate_starts, l.rate_period_ms,
            (SELECT count(*) FROM queue WHERE state = 'READY' AND tenant_id = $1 AND lane = $2),
            (SELECT count(*) FROM queue WHERE state = 'RUNNING' AND tenant_id = $1 AND lane = $2)
        FROM (SELECT) one LEFT JOIN lanes l ON l.tenant_id = $1 AND l.lane = $2
        """;

    // Locked first, and looked at with a new snapshot then: who enqueues holds the row's key from before its items can be seen.
    private const string Idle = """
        SELECT tenant_id, lane FROM lanes
        WHERE NOT paused AND used_at < (SELECT clock_timestamp()) - $1 AND rate_next < (SELECT clock_timestamp())
        ORDER BY tenant_id, lane LIMIT $2 FOR UPDATE SKIP LOCKED
        """;

    private const string RemoveIdle = """
        DELETE FROM lanes l USING unnest($1, $2) u (tenant_id, lane)
        WHERE l.tenant_id = u.tenant_id AND l.lane = u.lane
            AND NOT EXISTS (SELECT FROM queue q WHERE q.tenant_id = l.tenant_id AND q.lane = l.lane)
        """;

    private const string RemoveKeys = """
        DELETE FROM idempotency_keys k
        USING (
            SELECT tenant_id, key FROM idempotency_keys WHERE expires_at <= (SELECT clock_timestamp()) ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED) o
        WHERE k.tenant_id = o.tenant_id AND k.key = o.key
        """;

    public Task SetAsync(string tenantId, string lane, bool? paused, LaneLimits? limits, CancellationToken cancellationToken)
    {
        QueueRules.Check(limits);
        return database.RunAsync(
            async connection =>
            {
                await using var command = new NpgsqlCommand(Set, connection);
                command.Parameters.Text(StorableText.Clean(tenantId)).Text(StorableText.Clean(lane)).Value(paused, NpgsqlDbType.Boolean)
                    .Bool(limits is not null).Value(limits?.MaxRunning, NpgsqlDbType.Integer)
                    .Value(limits?.Rate?.Starts, NpgsqlDbType.Integer).Value((long?)limits?.Rate?.Period.TotalMilliseconds, NpgsqlDbType.Bigint);
                return await command.ExecuteNonQueryAsync(cancellationToken);
            },
            cancellationToken);
    }

    public async Task<LaneView> ViewAsync(string tenantId, string lane, CancellationToken cancellationToken)
    {
        var found = await database.ReadAsync(
            View,
            parameters => parameters.Text(StorableText.Clean(tenantId)).Text(StorableText.Clean(lane)),
            reader => new LaneView(
                !reader.IsDBNull(0) && reader.GetBoolean(0),
                new LaneLimits(
                    reader.IsDBNull(1) ? null : reader.GetInt32(1),
                    reader.IsDBNull(2) ? null : new LaneRate(reader.GetInt32(2), TimeSpan.FromMilliseconds(reader.GetInt64(3)))),
                (int)reader.GetInt64(4),
                (int)reader.GetInt64(5)),
            cancellationToken);
        return found[0];
    }

    public Task<int> TidyAsync(TimeSpan unused, CancellationToken cancellationToken) => database.RunAsync(
        async connection => await RemoveIdleAsync(connection, unused, cancellationToken) + await RemoveKeysAsync(connection, cancellationToken), cancellationToken);

    private static async Task<int> RemoveIdleAsync(NpgsqlConnection connection, TimeSpan unused, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        var idle = new List<(string Tenant, string Lane)>();
        await using (var find = new NpgsqlCommand(Idle, connection, transaction))
        {
            find.Parameters.Value(unused, NpgsqlDbType.Interval).Int(Page);
            await using var reader = await find.ExecuteReaderAsync(cancellationToken);
            while (await reader.ReadAsync(cancellationToken))
            {
                idle.Add((reader.GetString(0), reader.GetString(1)));
            }
        }

        var removed = 0;
        if (idle.Count > 0)
        {
            await using var remove = new NpgsqlCommand(RemoveIdle, connection, transaction);
            remove.Parameters.Column(NpgsqlDbType.Text, idle, lane => lane.Tenant).Column(NpgsqlDbType.Text, idle, lane => lane.Lane);
            removed = await remove.ExecuteNonQueryAsync(cancellationToken);
        }

        await transaction.CommitAsync(cancellationToken);
        return removed;
    }

    private static async Task<int> RemoveKeysAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(RemoveKeys, connection);
        command.Parameters.Int(Page);
        return await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
