using System.Data.Common;
using Flint.Data.Invocations;
using Npgsql;

namespace Flint.Data.Postgres;

internal sealed class PostgresInvocationStore(PostgresDatabase database) : IInvocationStore
{
    private const string Delete = """
        deleted AS (DELETE FROM invocations i USING doomed d WHERE i.tenant_id = @tenant AND i.id = d.id RETURNING i.id, i.data_bytes),
            cold AS (DELETE FROM invocation_data c USING deleted d WHERE c.tenant_id = @tenant AND c.id = d.id),
            work AS (DELETE FROM invocation_work w USING deleted d WHERE w.tenant_id = @tenant AND w.id = d.id RETURNING w.id, w.tags),
            tags AS (
                DELETE FROM invocation_tags t USING work w, json_array_elements_text(w.tags::json) AS x (tag)
                WHERE t.tenant_id = @tenant AND t.tag = x.tag AND t.id = w.id),
            letters AS (DELETE FROM dead_letters l USING work w WHERE l.tenant_id = @tenant AND l.id = w.id),
            totals AS (
                INSERT INTO invocation_totals AS t (tenant_id, data_bytes)
                SELECT @tenant, -sum(data_bytes)::bigint FROM deleted HAVING sum(data_bytes) > 0
                ON CONFLICT (tenant_id) DO UPDATE SET data_bytes = t.data_bytes + excluded.data_bytes)
        SELECT count(*) FROM deleted
        """;

    private const string DeletePage = $"""
        WITH doomed AS ({InvocationSql.Doomed} FOR UPDATE SKIP LOCKED),
            {Delete}
        """;

    // The total is locked first: another server that prunes waits, and then sees what is left to do. Writers wait for it too, hence at most 64 MB at once.
    private const string DeleteOver = $"""
        WITH total AS (
                SELECT data_bytes - @most AS excess FROM invocation_totals WHERE tenant_id = @tenant AND data_bytes > @most FOR UPDATE),
            oldest AS (
                SELECT id, data_bytes FROM invocations
                WHERE tenant_id = @tenant AND {InvocationSql.Finished} AND (SELECT count(*) FROM total) > 0
                ORDER BY id LIMIT @page FOR UPDATE SKIP LOCKED),
            doomed AS (SELECT id FROM ({InvocationSql.Oldest}) o WHERE older < least((SELECT excess FROM total), 67108864)),
            {Delete}
        """;

    private static readonly RowReader Rows = new();

    public async Task AppendAsync(IReadOnlyList<InvocationRow> rows, CancellationToken cancellationToken)
    {
        if (rows.Count == 0)
        {
            return;
        }

        var storable = rows.Select(InvocationRules.Storable)
            .DistinctBy(row => (row.TenantId, row.Id))
            .OrderBy(row => row.Id, StringComparer.Ordinal).ThenBy(row => row.TenantId, StringComparer.Ordinal)
            .ToList();
        await database.RunAsync(
            async connection =>
            {
                await using var command = PostgresAppend.Command(connection, storable);
                return await command.ExecuteNonQueryAsync(cancellationToken);
            },
            cancellationToken);
    }

    public async Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        if (!InvocationId.TryParse(id, out var key))
        {
            return null;
        }

        var found = await ReadAsync(
            InvocationSql.Get, reader => Rows.Read(reader, withData: true), cancellationToken, ("@tenant", StorableText.Clean(tenantId)!), ("@id", key));
        return found.Count == 0 ? null : found[0];
    }

    public async Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken)
    {
        query = InvocationRules.Storable(query);
        var rows = await ReadAsync(
            InvocationSql.List(query, sqlite: false), reader => Rows.Read(reader, withData: false), cancellationToken,
            [("@take", query.Limit + 1), ("@offset", query.Offset), .. Filters(query)]);
        return InvocationRules.Page(rows, query.Limit);
    }

    public async Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken)
    {
        query = InvocationRules.Storable(query);
        var found = await ReadAsync(
            InvocationSql.Count(query, sqlite: false), reader => reader.GetInt64(0), cancellationToken, [("@most", most), .. Filters(query with { BeforeId = null })]);
        return (int)found[0];
    }

    public async Task<int> PruneAsync(Retention retention, DateTimeOffset now, int pageSize, CancellationToken cancellationToken)
    {
        var deleted = 0;
        foreach (var tenant in await ReadAsync(InvocationSql.Tenants, reader => reader.GetString(0), cancellationToken))
        {
            deleted += await PruneTenantAsync(tenant, retention, now, pageSize - deleted, cancellationToken);
            if (deleted < pageSize && retention.MaxBytes is { } most)
            {
                deleted += await PruneBytesAsync(tenant, Math.Max(0, most), pageSize - deleted, cancellationToken);
            }

            if (deleted >= pageSize)
            {
                break;
            }
        }

        return deleted;
    }

    private async Task<int> PruneTenantAsync(string tenant, Retention retention, DateTimeOffset now, int page, CancellationToken cancellationToken)
    {
        Guid? oldestKept = null;
        if (PruneBounds.Counts(retention))
        {
            var found = await ReadAsync(
                InvocationSql.OldestKept, reader => reader.GetGuid(0), cancellationToken, ("@tenant", tenant), ("@keep", retention.MaxCount!.Value));
            oldestKept = found.Count == 0 ? null : found[0];
        }

        var bounds = PruneBounds.From(retention, now, oldestKept);
        var deleted = await ReadAsync(
            DeletePage, reader => reader.GetInt64(0), cancellationToken,
            ("@tenant", tenant), ("@below", bounds.Below), ("@counted", bounds.Counted), ("@age", Time(bounds.Age)), ("@page", page));
        return (int)deleted[0];
    }

    private async Task<int> PruneBytesAsync(string tenant, long most, int page, CancellationToken cancellationToken)
    {
        var deleted = 0;
        long last;
        do
        {
            last = (await ReadAsync(
                DeleteOver, reader => reader.GetInt64(0), cancellationToken, ("@tenant", tenant), ("@most", most), ("@page", page - deleted)))[0];
            deleted += (int)last;
        }
        while (last > 0 && deleted < page);
        return deleted;
    }

    private Task<List<T>> ReadAsync<T>(
        string sql, Func<DbDataReader, T> read, CancellationToken cancellationToken, params (string Name, object Value)[] parameters) => database.RunAsync(
        async connection =>
        {
            await using var command = new NpgsqlCommand(sql, connection);
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
        },
        cancellationToken);

    private static List<(string Name, object Value)> Filters(InvocationQuery query)
    {
        List<(string, object)> filters = [("@tenant", query.TenantId)];
        if (query.FunctionName is { } function)
        {
            filters.Add(("@function", function));
        }

        if (query.Tag is { } tag)
        {
            filters.Add(("@tag", tag));
        }

        if (query.BeforeId is { } before)
        {
            filters.Add(("@before", InvocationId.Parse(before, nameof(query.BeforeId))));
        }

        if (query.From is { } from)
        {
            filters.AddRange([("@from", Time(from)), ("@fromId", InvocationId.AtLeast(from))]);
        }

        if (query.To is { } to)
        {
            filters.AddRange([("@to", Time(to)), ("@toId", InvocationId.Above(to))]);
        }

        return filters;
    }

    private static DateTime Time(DateTimeOffset time) => DateTimeOffset.FromUnixTimeMilliseconds(time.ToUnixTimeMilliseconds()).UtcDateTime;

    private sealed class RowReader : InvocationRowReader
    {
        protected override string Id(DbDataReader reader, int ordinal) => reader.GetGuid(ordinal).ToString("D");

        protected override DateTimeOffset Time(DbDataReader reader, int ordinal) => new(reader.GetDateTime(ordinal));
    }
}
