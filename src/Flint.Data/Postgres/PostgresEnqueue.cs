using Flint.Data.Queue;
using Npgsql;
using NpgsqlTypes;
using static Flint.Data.Postgres.PostgresParameters;

namespace Flint.Data.Postgres;

/// <summary>One statement that enqueues a batch. Keys of idempotency decide first; the rest goes only where the record was new.</summary>
/// <remarks>
/// Every array is in key order, so that batches that share keys, records or lanes wait for each other instead of deadlocking. What a record keeps is counted when it is
/// finished, not here: a tenant's total is one row, and enqueues would wait for each other's commits over it.
/// </remarks>
internal static class PostgresEnqueue
{
    // A key that stands is written over with itself: only so does the statement see one that another transaction has just committed.
    private const string Sql = """
        WITH keys AS (
            INSERT INTO idempotency_keys AS k (tenant_id, key, id, fingerprint, expires_at)
            SELECT n.tenant_id, n.key, n.id, n.fingerprint, clock_timestamp() + n.lifetime * interval '1 microsecond'
            FROM unnest($1, $2, $3, $4, $5) n (tenant_id, key, id, fingerprint, lifetime)
            ON CONFLICT (tenant_id, key) DO UPDATE SET
                id = CASE WHEN k.expires_at > clock_timestamp() THEN k.id ELSE excluded.id END,
                fingerprint = CASE WHEN k.expires_at > clock_timestamp() THEN k.fingerprint ELSE excluded.fingerprint END,
                expires_at = CASE WHEN k.expires_at > clock_timestamp() THEN k.expires_at ELSE excluded.expires_at END
            RETURNING k.tenant_id, k.key, k.id, k.fingerprint),
        added AS (
            INSERT INTO invocations (tenant_id, id, status, mode, function_id, function_name, version, qualifier, created_at, memory_mb, engine)
            SELECT r.tenant_id, r.id, 'PENDING', r.mode, nullif(r.function_id, ''), nullif(r.function_name, ''), nullif(r.version, ''), r.qualifier, r.created_at, r.memory_mb, r.engine
            FROM unnest($6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                r (tenant_id, id, key, mode, function_id, function_name, version, qualifier, created_at, memory_mb, engine)
            LEFT JOIN keys k ON k.tenant_id = r.tenant_id AND k.key = r.key
            WHERE r.key IS NULL OR k.id = r.id
            ORDER BY r.id, r.tenant_id
            ON CONFLICT DO NOTHING RETURNING tenant_id, id),
        worked AS (
            INSERT INTO invocation_work (tenant_id, id, work, tags, source, payload)
            SELECT w.tenant_id, w.id, w.work, w.tags, w.source, w.payload
            FROM unnest($6, $7, $17, $18, $19, $20) w (tenant_id, id, work, tags, source, payload) JOIN added USING (tenant_id, id)),
        tagged AS (
            INSERT INTO invocation_tags (tenant_id, tag, id)
            SELECT t.tenant_id, t.tag, t.id FROM unnest($21, $22, $23) t (tenant_id, tag, id) JOIN added USING (tenant_id, id)),
        wanted AS (
            SELECT * FROM unnest($24, $25, $26, $27, $28) w (tenant_id, lane, max_running, rate_starts, rate_period_ms)),
        same AS (
            SELECT l.tenant_id, l.lane FROM lanes l JOIN wanted w USING (tenant_id, lane)
            WHERE (l.max_running, l.rate_starts, l.rate_period_ms) IS NOT DISTINCT FROM (w.max_running, w.rate_starts, w.rate_period_ms)
            FOR KEY SHARE OF l),
        changed AS (
            INSERT INTO lanes AS l (tenant_id, lane, max_running, rate_starts, rate_period_ms, used_at)
            SELECT w.tenant_id, w.lane, w.max_running, w.rate_starts, w.rate_period_ms, clock_timestamp() FROM wanted w
            WHERE NOT EXISTS (SELECT FROM same s WHERE s.tenant_id = w.tenant_id AND s.lane = w.lane)
                AND (w.max_running IS NOT NULL OR w.rate_starts IS NOT NULL
                    OR EXISTS (SELECT FROM lanes l WHERE l.tenant_id = w.tenant_id AND l.lane = w.lane))
            ON CONFLICT (tenant_id, lane) DO UPDATE SET
                max_running = excluded.max_running, rate_starts = excluded.rate_starts, rate_period_ms = excluded.rate_period_ms, used_at = excluded.used_at
            RETURNING l.tenant_id, l.lane, l.max_running),
        counted AS (
            UPDATE queue q SET limited = TRUE
            FROM (
                SELECT r.tenant_id, r.id FROM queue r JOIN changed c USING (tenant_id, lane)
                WHERE r.state = 'RUNNING' AND NOT r.limited AND c.max_running IS NOT NULL
                FOR UPDATE OF r SKIP LOCKED) r
            WHERE q.tenant_id = r.tenant_id AND q.id = r.id),
        queued AS (
            INSERT INTO queue (tenant_id, id, state, lane, limited, priority, run_at, attempt, lease_no, losses, expires_at)
            SELECT p.tenant_id, p.id, CASE WHEN due.at > t.now THEN 'DELAYED' ELSE 'READY' END, p.lane, FALSE, p.priority, due.at, 0, 0, 0,
                t.now + p.time_to_live * interval '1 microsecond'
            FROM unnest($6, $7, $29, $30, $31, $32, $33) p (tenant_id, id, lane, priority, run_at, delay, time_to_live)
            JOIN added USING (tenant_id, id)
            CROSS JOIN (SELECT clock_timestamp() AS now) t
            CROSS JOIN LATERAL (SELECT greatest(t.now, coalesce(p.run_at, t.now + p.delay * interval '1 microsecond')) AS at) due)
        SELECT tenant_id, key, id, fingerprint FROM keys
        """;

    /// <summary>Adds the statement; what it returns goes to <see cref="OutcomesAsync"/>.</summary>
    /// <param name="entries">As <see cref="QueueRules"/> made them.</param>
    public static void Add(NpgsqlBatch batch, IReadOnlyList<QueueEntry> entries)
    {
        var keyed = entries.Where(entry => entry.IdempotencyKey is not null)
            .DistinctBy(entry => (entry.Row.TenantId, entry.IdempotencyKey))
            .OrderBy(entry => entry.Row.TenantId, StringComparer.Ordinal).ThenBy(entry => entry.IdempotencyKey, StringComparer.Ordinal)
            .ToList();
        // The rest of those that share a key cannot win it.
        var rows = entries.Where(entry => entry.IdempotencyKey is null).Concat(keyed)
            .DistinctBy(entry => (entry.Row.TenantId, entry.Row.Id))
            .OrderBy(entry => entry.Row.Id, StringComparer.Ordinal).ThenBy(entry => entry.Row.TenantId, StringComparer.Ordinal)
            .ToList();
        var parameters = batch.Add(Sql);
        AddKeys(parameters, keyed);
        AddRecords(parameters, rows);
        AddTags(parameters, rows);
        AddLanes(parameters, entries);
        AddPlaces(parameters, rows);
    }

    /// <summary>What became of the entries, in their order.</summary>
    public static async Task<IReadOnlyList<EnqueueResult>> OutcomesAsync(
        NpgsqlDataReader reader, IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        var standing = new Dictionary<(string, string), (string Id, byte[] Fingerprint)>();
        while (await reader.ReadAsync(cancellationToken))
        {
            standing[(reader.GetString(0), reader.GetString(1))] = (reader.GetGuid(2).ToString("D"), reader.GetFieldValue<byte[]>(3));
        }

        return [.. entries.Select(entry => Outcome(entry, standing))];
    }

    private static EnqueueResult Outcome(QueueEntry entry, Dictionary<(string, string), (string Id, byte[] Fingerprint)> standing)
    {
        if (entry.IdempotencyKey is not { } key)
        {
            return new EnqueueResult(EnqueueOutcome.Added, entry.Row.Id);
        }

        var (id, fingerprint) = standing[(entry.Row.TenantId, key)];
        var outcome = id == entry.Row.Id ? EnqueueOutcome.Added
            : fingerprint.AsSpan().SequenceEqual(entry.Fingerprint) ? EnqueueOutcome.Known
            : EnqueueOutcome.KeyTaken;
        return new EnqueueResult(outcome, id);
    }

    private static void AddKeys(NpgsqlParameterCollection parameters, List<QueueEntry> rows) => parameters
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.TenantId)
        .Column(NpgsqlDbType.Text, rows, entry => entry.IdempotencyKey)
        .Column(NpgsqlDbType.Uuid, rows, Id)
        .Column(NpgsqlDbType.Bytea, rows, entry => entry.Fingerprint)
        .Column(NpgsqlDbType.Bigint, rows, entry => Microseconds(entry.IdempotencyLifetime));

    private static void AddRecords(NpgsqlParameterCollection parameters, List<QueueEntry> rows) => parameters
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.TenantId)
        .Column(NpgsqlDbType.Uuid, rows, Id)
        .Column(NpgsqlDbType.Text, rows, entry => entry.IdempotencyKey)
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.Mode)
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.FunctionId)
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.FunctionName)
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.Version)
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.Qualifier)
        .Column(NpgsqlDbType.TimestampTz, rows, entry => Time(entry.Row.CreatedAt))
        .Column(NpgsqlDbType.Integer, rows, entry => entry.Row.MemoryMb)
        .Column(NpgsqlDbType.Text, rows, entry => entry.Row.Engine)
        .Column(NpgsqlDbType.Text, rows, entry => entry.WorkJson)
        .Column(NpgsqlDbType.Text, rows, entry => TagText.Of(entry.Tags))
        .Column(NpgsqlDbType.Bytea, rows, entry => Bytes(entry.Source))
        .Column(NpgsqlDbType.Bytea, rows, entry => Bytes(entry.Row.Payload));

    private static void AddTags(NpgsqlParameterCollection parameters, List<QueueEntry> rows)
    {
        var tags = rows.SelectMany(entry => entry.Tags, (entry, tag) => (Entry: entry, Tag: tag)).ToList();
        parameters
            .Column(NpgsqlDbType.Text, tags, tag => tag.Entry.Row.TenantId)
            .Column(NpgsqlDbType.Text, tags, tag => tag.Tag)
            .Column(NpgsqlDbType.Uuid, tags, tag => Id(tag.Entry));
    }

    private static void AddLanes(NpgsqlParameterCollection parameters, IReadOnlyList<QueueEntry> entries)
    {
        var lanes = entries.Where(entry => entry.Limits is not null).Reverse()
            .DistinctBy(entry => (entry.Row.TenantId, entry.Lane))
            .OrderBy(entry => entry.Row.TenantId, StringComparer.Ordinal).ThenBy(entry => entry.Lane, StringComparer.Ordinal)
            .ToList();
        parameters
            .Column(NpgsqlDbType.Text, lanes, entry => entry.Row.TenantId)
            .Column(NpgsqlDbType.Text, lanes, entry => entry.Lane)
            .Column(NpgsqlDbType.Integer, lanes, entry => entry.Limits!.MaxRunning)
            .Column(NpgsqlDbType.Integer, lanes, entry => entry.Limits!.Rate?.Starts)
            .Column(NpgsqlDbType.Bigint, lanes, entry => (long?)entry.Limits!.Rate?.Period.TotalMilliseconds);
    }

    private static void AddPlaces(NpgsqlParameterCollection parameters, List<QueueEntry> rows) => parameters
        .Column(NpgsqlDbType.Text, rows, entry => entry.Lane)
        .Column(NpgsqlDbType.Integer, rows, entry => entry.Priority)
        .Column(NpgsqlDbType.TimestampTz, rows, entry => Time(entry.RunAt))
        .Column(NpgsqlDbType.Bigint, rows, entry => Microseconds(entry.Delay))
        .Column(NpgsqlDbType.Bigint, rows, entry => entry.TimeToLive is { } time ? Microseconds(time) : (long?)null);

    private static Guid Id(QueueEntry entry) => Guid.ParseExact(entry.Row.Id, "D");
}
