using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Adds entries, on the writer thread.</summary>
internal static class SqliteEnqueue
{
    private const string InsertRow = """
        INSERT INTO invocations (
            tenant_id, id, status, mode, function_id, function_name, version, qualifier, created_at, memory_mb, engine, data_bytes, attempts)
        VALUES (?, ?, 'PENDING', ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING
        """;

    private const string InsertWork = "INSERT INTO invocation_work (tenant_id, id, work, tags, source, payload) VALUES (?, ?, ?, ?, ?, ?)";

    private const string InsertQueue = """
        INSERT INTO queue (tenant_id, id, state, lane, limited, priority, run_at, attempt, lease_no, losses, expires_at) VALUES (?, ?, ?, ?, 0, ?, ?, 0, 0, 0, ?)
        """;

    private const string InsertTag = "INSERT INTO invocation_tags (tenant_id, tag, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

    private const string FindKey = "SELECT id, fingerprint FROM idempotency_keys WHERE tenant_id = ? AND key = ? AND expires_at > ?";

    private const string InsertKey = """
        INSERT INTO idempotency_keys (tenant_id, key, id, fingerprint, expires_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, key) DO UPDATE SET id = excluded.id, fingerprint = excluded.fingerprint, expires_at = excluded.expires_at
        """;

    /// <param name="scope">The writer's.</param>
    /// <param name="entries">Checked and cleaned.</param>
    /// <param name="now">Unix milliseconds.</param>
    public static IReadOnlyList<EnqueueResult> Add(SqliteWriteScope scope, IReadOnlyList<QueueEntry> entries, long now)
    {
        var results = new EnqueueResult[entries.Count];
        for (var i = 0; i < results.Length; i++)
        {
            results[i] = Add(scope, entries[i], now);
        }

        return results;
    }

    private static EnqueueResult Add(SqliteWriteScope scope, QueueEntry entry, long now)
    {
        var row = entry.Row;
        Span<byte> id = stackalloc byte[16];
        Guid.ParseExact(row.Id, "D").TryWriteBytes(id, bigEndian: true, out _);
        if (entry.IdempotencyKey is not null && Known(scope, entry, id, now) is { } known)
        {
            return known;
        }

        var bytes = QueueRules.DataBytes(entry);
        if (AddRow(scope, row, id, bytes))
        {
            AddWork(scope, entry, id);
            AddToQueue(scope, entry, id, now);
            AddTags(scope, entry, id);
            AddKey(scope, entry, id, now);
            scope.AddToTotal(row.TenantId, bytes);
            if (entry.Limits is { } limits)
            {
                SqliteLanes.Limit(scope, row.TenantId, entry.Lane, limits, now);
            }
        }

        return new EnqueueResult(EnqueueOutcome.Added, row.Id);
    }

    /// <summary>What the key stands for already; null when it is free, or stands for this entry.</summary>
    private static EnqueueResult? Known(SqliteWriteScope scope, QueueEntry entry, ReadOnlySpan<byte> id, long now)
    {
        var find = scope.Statement(FindKey);
        find.Bind(1, entry.Row.TenantId);
        find.Bind(2, entry.IdempotencyKey);
        find.Bind(3, now);
        using var rows = find.Rows();
        return !rows.Next() || rows.Holds(0, id)
            ? null
            : new EnqueueResult(rows.Holds(1, entry.Fingerprint) ? EnqueueOutcome.Known : EnqueueOutcome.KeyTaken, rows.Id(0).ToString("D"));
    }

    private static bool AddRow(SqliteWriteScope scope, InvocationRow row, ReadOnlySpan<byte> id, long bytes)
    {
        var insert = scope.Statement(InsertRow);
        insert.Bind(1, row.TenantId);
        insert.Bind(2, id);
        insert.Bind(3, row.Mode);
        insert.Bind(4, NullIfEmpty(row.FunctionId));
        insert.Bind(5, NullIfEmpty(row.FunctionName));
        insert.Bind(6, NullIfEmpty(row.Version));
        insert.Bind(7, row.Qualifier);
        insert.Bind(8, row.CreatedAt.ToUnixTimeMilliseconds());
        insert.Bind(9, (long)row.MemoryMb);
        insert.Bind(10, row.Engine);
        insert.Bind(11, bytes);
        return insert.Execute() > 0;
    }

    private static void AddWork(SqliteWriteScope scope, QueueEntry entry, ReadOnlySpan<byte> id)
    {
        var insert = scope.Statement(InsertWork);
        insert.Bind(1, entry.Row.TenantId);
        insert.Bind(2, id);
        insert.Bind(3, entry.WorkJson);
        insert.Bind(4, TagText.Of(entry.Tags));
        insert.Bind(5, entry.Source);
        insert.Bind(6, entry.Row.Payload);
        insert.Execute();
    }

    private static void AddToQueue(SqliteWriteScope scope, QueueEntry entry, ReadOnlySpan<byte> id, long now)
    {
        var runAt = Math.Max(now, entry.RunAt?.ToUnixTimeMilliseconds() ?? Later(now, entry.Delay));
        var insert = scope.Statement(InsertQueue);
        insert.Bind(1, entry.Row.TenantId);
        insert.Bind(2, id);
        insert.Bind(3, runAt > now ? "DELAYED" : "READY");
        insert.Bind(4, entry.Lane);
        insert.Bind(5, (long)entry.Priority);
        insert.Bind(6, runAt);
        insert.Bind(7, entry.TimeToLive is { } life ? Later(now, life) : null);
        insert.Execute();
    }

    private static void AddTags(SqliteWriteScope scope, QueueEntry entry, ReadOnlySpan<byte> id)
    {
        foreach (var tag in entry.Tags)
        {
            var insert = scope.Statement(InsertTag);
            insert.Bind(1, entry.Row.TenantId);
            insert.Bind(2, tag);
            insert.Bind(3, id);
            insert.Execute();
        }
    }

    private static void AddKey(SqliteWriteScope scope, QueueEntry entry, ReadOnlySpan<byte> id, long now)
    {
        if (entry.IdempotencyKey is not { } key)
        {
            return;
        }

        var insert = scope.Statement(InsertKey);
        insert.Bind(1, entry.Row.TenantId);
        insert.Bind(2, key);
        insert.Bind(3, id);
        insert.Bind(4, entry.Fingerprint.AsSpan());
        insert.Bind(5, Later(now, entry.IdempotencyLifetime));
        insert.Execute();
    }

    /// <summary>At least a millisecond for any time at all: what is to wait waits.</summary>
    internal static long Later(long now, TimeSpan by) => now + (by.Ticks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond;

    private static string? NullIfEmpty(string text) => text.Length == 0 ? null : text;
}
