using System.Data.Common;
using Flint.Data.Invocations;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Sqlite;

internal sealed class SqliteInvocationStore(SqliteDatabase database) : IInvocationStore
{
    // Deleted in one command of the writer: few enough that others hardly wait.
    private const int DeleteChunk = 200;

    // Freeing a large value walks its pages.
    private const long DeleteChunkBytes = 32L << 20;

    private const string Over = $"""
        WITH oldest AS (SELECT id, data_bytes FROM invocations WHERE tenant_id = @tenant AND {InvocationSql.Finished} ORDER BY id LIMIT @page)
        SELECT id, data_bytes FROM ({InvocationSql.Oldest})
        WHERE older < (SELECT data_bytes FROM invocation_totals WHERE tenant_id = @tenant) - @most
        ORDER BY id
        """;

    private static readonly RowReader Rows = new();

    public async Task AppendAsync(IReadOnlyList<InvocationRow> rows, CancellationToken cancellationToken)
    {
        var storable = rows.Select(InvocationRules.Storable).ToList();
        await database.Writer.RunAsync(scope => SqliteInvocationWriter.Append(scope, storable), cancellationToken, repeatable: true);
    }

    public async Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        if (!InvocationId.TryParse(id, out var key))
        {
            return null;
        }

        var found = await ReadAsync(InvocationSql.Get, reader => Rows.Read(reader, withData: true), cancellationToken, ("@tenant", tenantId), ("@id", Key(key)));
        return found.Count == 0 ? null : found[0];
    }

    public async Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken)
    {
        query = InvocationRules.Storable(query);
        var rows = await ReadAsync(
            InvocationSql.List(query, sqlite: true), reader => Rows.Read(reader, withData: false), cancellationToken,
            [("@take", query.Limit + 1), ("@offset", query.Offset), .. Filters(query)]);
        return InvocationRules.Page(rows, query.Limit);
    }

    public async Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken)
    {
        query = InvocationRules.Storable(query);
        var found = await ReadAsync(
            InvocationSql.Count(query, sqlite: true), reader => reader.GetInt32(0), cancellationToken, [("@most", most), .. Filters(query with { BeforeId = null })]);
        return found[0];
    }

    public async Task<int> PruneAsync(Retention retention, DateTimeOffset now, int pageSize, CancellationToken cancellationToken)
    {
        var deleted = 0;
        foreach (var tenant in await ReadAsync(InvocationSql.Tenants, reader => reader.GetString(0), cancellationToken))
        {
            deleted += await DeleteAsync(tenant, await DoomedAsync(tenant, retention, now, pageSize - deleted, cancellationToken), cancellationToken);
            if (deleted < pageSize && retention.MaxBytes is { } most)
            {
                var over = await ReadAsync(
                    Over, ReadSized, cancellationToken, ("@tenant", tenant), ("@page", pageSize - deleted), ("@most", Math.Max(0, most)));
                deleted += await DeleteAsync(tenant, over, cancellationToken);
            }

            if (deleted >= pageSize)
            {
                break;
            }
        }

        return deleted;
    }

    private async Task<int> DeleteAsync(string tenant, List<(byte[] Id, long Bytes)> rows, CancellationToken cancellationToken)
    {
        var deleted = 0;
        for (var from = 0; from < rows.Count;)
        {
            var to = from;
            for (var bytes = 0L; to < rows.Count && to - from < DeleteChunk && bytes < DeleteChunkBytes; to++)
            {
                bytes += rows[to].Bytes;
            }

            var chunk = rows[from..to];
            deleted += await database.Writer.RunAsync(scope => SqliteInvocationWriter.Delete(scope, tenant, chunk), cancellationToken, repeatable: true);
            from = to;
        }

        return deleted;
    }

    private async Task<List<(byte[] Id, long Bytes)>> DoomedAsync(string tenant, Retention retention, DateTimeOffset now, int page, CancellationToken cancellationToken)
    {
        Guid? oldestKept = null;
        if (PruneBounds.Counts(retention))
        {
            var found = await ReadAsync(
                InvocationSql.OldestKept, ReadKey, cancellationToken, ("@tenant", tenant), ("@keep", retention.MaxCount!.Value));
            oldestKept = found.Count == 0 ? null : new Guid(found[0], bigEndian: true);
        }

        var bounds = PruneBounds.From(retention, now, oldestKept);
        return await ReadAsync(
            InvocationSql.Doomed, ReadSized, cancellationToken,
            ("@tenant", tenant), ("@below", Key(bounds.Below)), ("@counted", Key(bounds.Counted)), ("@age", bounds.Age.ToUnixTimeMilliseconds()), ("@page", page));
    }

    private async Task<List<T>> ReadAsync<T>(
        string sql, Func<DbDataReader, T> read, CancellationToken cancellationToken, params (string Name, object Value)[] parameters)
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
            filters.Add(("@before", Key(InvocationId.Parse(before, nameof(query.BeforeId)))));
        }

        if (query.From is { } from)
        {
            filters.AddRange([("@from", from.ToUnixTimeMilliseconds()), ("@fromId", Key(InvocationId.AtLeast(from)))]);
        }

        if (query.To is { } to)
        {
            filters.AddRange([("@to", to.ToUnixTimeMilliseconds()), ("@toId", Key(InvocationId.Above(to)))]);
        }

        return filters;
    }

    private static byte[] ReadKey(DbDataReader reader) => reader.GetFieldValue<byte[]>(0);

    private static (byte[] Id, long Bytes) ReadSized(DbDataReader reader) => (ReadKey(reader), reader.GetInt64(1));

    private static byte[] Key(Guid id) => id.ToByteArray(bigEndian: true);

    private sealed class RowReader : InvocationRowReader
    {
        protected override string Id(DbDataReader reader, int ordinal) =>
            new Guid(reader.GetFieldValue<byte[]>(ordinal), bigEndian: true).ToString("D");

        protected override DateTimeOffset Time(DbDataReader reader, int ordinal) => DateTimeOffset.FromUnixTimeMilliseconds(reader.GetInt64(ordinal));
    }
}
