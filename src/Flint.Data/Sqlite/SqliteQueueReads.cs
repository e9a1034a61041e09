using Flint.Data.Invocations;
using Flint.Data.Queue;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Sqlite;

/// <summary>What is asked of the queue without changing it, on pooled readers.</summary>
internal sealed class SqliteQueueReads(SqliteDatabase database, TimeProvider time)
{
    private const int LanePage = 1000;

    private const string Workers = """
        SELECT id, name, product_version, roles, places, running, draining, details, started_at, seen_at, lease_until, drain_asked FROM workers ORDER BY name, id
        """;

    private const string Lane = """
        SELECT paused, max_running, rate_starts, rate_period_ms FROM lanes WHERE tenant_id = @tenant AND lane = @lane
        """;

    private const string LaneLoad = """
        SELECT (SELECT count(*) FROM queue INDEXED BY ix_queue_ready WHERE state = 'READY' AND tenant_id = @tenant AND lane = @lane),
            (SELECT count(*) FROM queue INDEXED BY ix_queue_worker WHERE state = 'RUNNING' AND tenant_id = @tenant AND lane = @lane)
        """;

    private const string Work = """
        SELECT w.work, d.attempts, w.payload, w.source, w.tags
        FROM invocation_work w LEFT JOIN invocation_data d ON d.tenant_id = w.tenant_id AND d.id = w.id WHERE w.tenant_id = @tenant AND w.id = @id
        """;

    // Lanes whose last items were delayed or run are few; the set of them is built once.
    private const string UnusedLanes = """
        SELECT l.tenant_id, l.lane FROM lanes l
        WHERE l.paused = 0 AND l.used_at <= @before
            AND NOT EXISTS (SELECT 1 FROM queue q INDEXED BY ix_queue_ready WHERE q.state = 'READY' AND q.tenant_id = l.tenant_id AND q.lane = l.lane)
            AND (l.tenant_id, l.lane) NOT IN (SELECT tenant_id, lane FROM queue WHERE state <> 'READY')
        LIMIT @page
        """;

    public async Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken)
    {
        var now = Now();
        return await ReadAsync(Workers, reader => ReadWorker(reader, now), cancellationToken);
    }

    public async Task<LaneView> LaneAsync(string tenantId, string lane, CancellationToken cancellationToken)
    {
        (string, object)[] names = [("@tenant", tenantId), ("@lane", lane)];
        var rows = await ReadAsync(Lane, ReadLimits, cancellationToken, names);
        var load = await ReadAsync(LaneLoad, reader => (reader.GetInt32(0), reader.GetInt32(1)), cancellationToken, names);
        var (paused, limits) = rows.Count == 0 ? (false, new LaneLimits(null, null)) : rows[0];
        return new LaneView(paused, limits, load[0].Item1, load[0].Item2);
    }

    public async Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken)
    {
        var of = tenantId is null ? "" : "AND tenant_id = @tenant";
        (string, object)[] filters = tenantId is null ? [("@most", most)] : [("@most", most), ("@tenant", StorableText.Clean(tenantId)!)];
        var found = await ReadAsync(
            $"""
            SELECT ready.n, ready.oldest,
                (SELECT count(*) FROM (SELECT 1 FROM queue INDEXED BY ix_queue_delayed WHERE state = 'DELAYED' {of} LIMIT @most)),
                (SELECT count(*) FROM (SELECT 1 FROM queue INDEXED BY ix_queue_worker WHERE state = 'RUNNING' {of} LIMIT @most))
            FROM (SELECT count(*) AS n, min(run_at) AS oldest FROM (SELECT run_at FROM queue INDEXED BY ix_queue_ready WHERE state = 'READY' {of} LIMIT @most)) ready
            """,
            reader => new QueueDepth(
                reader.GetInt32(0), reader.GetInt32(2), reader.GetInt32(3),
                reader.IsDBNull(1) ? null : TimeSpan.FromMilliseconds(Math.Max(0, Now() - reader.GetInt64(1)))),
            cancellationToken, filters);
        return found[0];
    }

    public async Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        if (!InvocationId.TryParse(id, out var key))
        {
            return null;
        }

        var found = await ReadAsync(
            Work,
            reader => new StoredWork(reader.GetString(0), Text(reader, 1), Bytes(reader, 2), Bytes(reader, 3), TagText.Parse(Text(reader, 4))),
            cancellationToken,
            ("@tenant", tenantId), ("@id", key.ToByteArray(bigEndian: true)));
        return found.Count == 0 ? null : found[0];
    }

    public Task<List<(string TenantId, string Lane)>> UnusedLanesAsync(TimeSpan unused, CancellationToken cancellationToken) => ReadAsync(
        UnusedLanes, reader => (reader.GetString(0), reader.GetString(1)), cancellationToken,
        ("@before", Now() - (long)unused.TotalMilliseconds), ("@page", LanePage));

    private static WorkerRow ReadWorker(SqliteDataReader reader, long now) => new(
        new WorkerInfo
        {
            Id = reader.GetString(0),
            Name = reader.GetString(1),
            ProductVersion = reader.GetString(2),
            Roles = reader.GetString(3),
            Places = reader.GetInt32(4),
            Running = reader.GetInt32(5),
            Draining = reader.GetBoolean(6),
            DetailsJson = reader.GetString(7),
        },
        DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(8)),
        DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(9)),
        TimeSpan.FromMilliseconds(reader.GetInt64(10) - now),
        reader.GetBoolean(11));

    private static (bool Paused, LaneLimits Limits) ReadLimits(SqliteDataReader reader) => (
        reader.GetBoolean(0),
        new LaneLimits(
            reader.IsDBNull(1) ? null : reader.GetInt32(1),
            reader.IsDBNull(2) ? null : new LaneRate(reader.GetInt32(2), TimeSpan.FromMilliseconds(reader.GetInt64(3)))));

    private static string? Text(SqliteDataReader reader, int ordinal) => reader.IsDBNull(ordinal) ? null : reader.GetString(ordinal);

    private static ReadOnlyMemory<byte>? Bytes(SqliteDataReader reader, int ordinal) =>
        reader.IsDBNull(ordinal) ? default(ReadOnlyMemory<byte>?) : reader.GetFieldValue<byte[]>(ordinal);

    private async Task<List<T>> ReadAsync<T>(
        string sql, Func<SqliteDataReader, T> read, CancellationToken cancellationToken, params (string Name, object Value)[] parameters)
    {
        try
        {
            await using var connection = database.OpenReader();
            await using var command = connection.CreateCommand();
            command.CommandText = sql;
            foreach (var (name, value) in parameters)
            {
                command.Parameters.AddWithValue(name, value);
            }

            await using var reader = await command.ExecuteReaderAsync(cancellationToken);
            var rows = new List<T>();
            while (await reader.ReadAsync(cancellationToken))
            {
                rows.Add(read(reader));
            }

            return rows;
        }
        catch (SqliteException exception)
        {
            throw SqliteFault.Translate(exception, database.Path);
        }
    }

    private long Now() => time.GetUtcNow().ToUnixTimeMilliseconds();
}
