using Flint.Data.Invocations;
using Flint.Data.Queue;
using NpgsqlTypes;

namespace Flint.Data.Postgres;

/// <summary>What is asked about the queue without changing it.</summary>
internal sealed class PostgresQueueReads(PostgresDatabase database)
{
    // The oldest of each lane and priority is the first of its stretch of the index: one probe for each, however many items there are.
    private const string Depth = """
        WITH RECURSIVE stretches (tenant_id, lane, priority, run_at, n) AS (
            (SELECT tenant_id, lane, priority, run_at, 1 FROM queue
            WHERE state = 'READY' AND tenant_id >= coalesce($1, '') AND ($1 IS NULL OR tenant_id = $1)
            ORDER BY tenant_id, lane, priority DESC, run_at, id LIMIT 1)
            UNION ALL
            SELECT x.tenant_id, x.lane, x.priority, x.run_at, s.n + 1
            FROM stretches s CROSS JOIN LATERAL (
                SELECT y.* FROM (
                    (SELECT q.tenant_id, q.lane, q.priority, q.run_at FROM queue q
                    WHERE q.state = 'READY' AND q.tenant_id = s.tenant_id AND q.lane = s.lane AND q.priority < s.priority
                    ORDER BY q.tenant_id, q.lane, q.priority DESC, q.run_at, q.id LIMIT 1)
                    UNION ALL
                    (SELECT q.tenant_id, q.lane, q.priority, q.run_at FROM queue q
                    WHERE q.state = 'READY' AND (q.tenant_id, q.lane) > (s.tenant_id, s.lane)
                    ORDER BY q.tenant_id, q.lane, q.priority DESC, q.run_at, q.id LIMIT 1)) y
                WHERE $1 IS NULL OR y.tenant_id = $1 LIMIT 1) x
            WHERE s.n < $2)
        SELECT
            (SELECT count(*) FROM (SELECT FROM queue WHERE state = 'READY' AND ($1 IS NULL OR tenant_id = $1) LIMIT $2) w),
            (SELECT count(*) FROM (SELECT FROM queue WHERE state = 'DELAYED' AND ($1 IS NULL OR tenant_id = $1) LIMIT $2) d),
            (SELECT count(*) FROM (SELECT FROM queue WHERE state = 'RUNNING' AND ($1 IS NULL OR tenant_id = $1) LIMIT $2) r),
            (SELECT (extract(epoch FROM clock_timestamp() - min(run_at)) * 1000)::float8 FROM stretches)
        """;

    private const string Work = """
        SELECT w.work, d.attempts, w.tags, w.payload, w.source
        FROM invocation_work w LEFT JOIN invocation_data d ON d.tenant_id = w.tenant_id AND d.id = w.id
        WHERE w.tenant_id = $1 AND w.id = $2
        """;

    public async Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken)
    {
        var found = await database.ReadAsync(
            Depth,
            parameters => parameters.Text(StorableText.Clean(tenantId)).Int(most),
            reader => new QueueDepth(
                (int)reader.GetInt64(0), (int)reader.GetInt64(1), (int)reader.GetInt64(2),
                reader.IsDBNull(3) ? null : TimeSpan.FromMilliseconds(Math.Max(0, reader.GetDouble(3)))),
            cancellationToken);
        return found[0];
    }

    public async Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        if (!InvocationId.TryParse(id, out var key))
        {
            return null;
        }

        var found = await database.ReadAsync(
            Work, parameters => parameters.Text(StorableText.Clean(tenantId)).Value(key, NpgsqlDbType.Uuid), PostgresQueueRows.Work, cancellationToken);
        return found.Count == 0 ? null : found[0];
    }
}
