using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>Reads all that running a claimed item needs, on the writer thread: its pages are at hand there.</summary>
internal static class SqliteClaimedItems
{
    private const string Find = """
        SELECT i.mode, i.function_id, i.function_name, i.version, i.qualifier, i.created_at, w.work, w.tags, w.source, w.payload
        FROM invocations i CROSS JOIN invocation_work w WHERE i.tenant_id = ?1 AND i.id = ?2 AND w.tenant_id = ?1 AND w.id = ?2
        """;

    private const string FindAttempts = "SELECT attempts FROM invocation_data WHERE tenant_id = ? AND id = ?";

    private const string GiveBack = """
        UPDATE queue SET state = 'READY', attempt = attempt - 1, worker_id = NULL, claimed_at = NULL, limited = 0 WHERE tenant_id = ? AND id = ?
        """;

    /// <summary>What does not fit into a claim's memory is given back, all but the first item.</summary>
    public static List<ClaimedItem> Read(SqliteWriteScope scope, List<SqliteTaken> taken, long now)
    {
        var items = new List<ClaimedItem>(taken.Count);
        Span<byte> id = stackalloc byte[16];
        var bytes = 0L;
        foreach (var item in taken)
        {
            item.Id.TryWriteBytes(id, bigEndian: true, out _);
            if (bytes >= QueueRules.ClaimBytes)
            {
                Release(scope, item.TenantId, id);
                continue;
            }

            var read = Read(scope, item, id, now);
            bytes += (read.Payload?.Length ?? 0) + (read.Source?.Length ?? 0);
            items.Add(read);
        }

        return items;
    }

    private static ClaimedItem Read(SqliteWriteScope scope, SqliteTaken item, ReadOnlySpan<byte> id, long now)
    {
        // Of a first attempt there is nothing to tell yet.
        var attempts = item.Attempt > 1 || item.LeaseNo > 1 ? Attempts(scope, item.TenantId, id) : null;
        var find = scope.Statement(Find);
        find.Bind(1, item.TenantId);
        find.Bind(2, id);
        using var rows = find.Rows();
        if (!rows.Next())
        {
            throw new DatabaseException($"The queue has an item {item.Id:D} without a record.");
        }

        return new ClaimedItem
        {
            TenantId = item.TenantId,
            Id = item.Id.ToString("D"),
            LeaseNo = item.LeaseNo,
            Attempt = item.Attempt,
            Losses = item.Losses,
            Lane = item.Lane,
            Priority = item.Priority,
            Mode = rows.Text(0),
            FunctionId = rows.TextOrNull(1) ?? "",
            FunctionName = rows.TextOrNull(2) ?? "",
            Version = rows.TextOrNull(3) ?? "",
            Qualifier = rows.TextOrNull(4),
            CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(rows.Long(5)),
            ClaimedAt = DateTimeOffset.FromUnixTimeMilliseconds(now),
            Expired = item.ExpiresAt <= now,
            WorkJson = rows.Text(6),
            Tags = TagText.Parse(rows.TextOrNull(7)),
            Source = rows.BytesOrNull(8),
            Payload = rows.BytesOrNull(9),
            AttemptsJson = attempts,
        };
    }

    private static string? Attempts(SqliteWriteScope scope, string tenantId, ReadOnlySpan<byte> id)
    {
        var find = scope.Statement(FindAttempts);
        find.Bind(1, tenantId);
        find.Bind(2, id);
        using var rows = find.Rows();
        return rows.Next() ? rows.TextOrNull(0) : null;
    }

    private static void Release(SqliteWriteScope scope, string tenantId, ReadOnlySpan<byte> id)
    {
        var release = scope.Statement(GiveBack);
        release.Bind(1, tenantId);
        release.Bind(2, id);
        release.Execute();
    }
}
