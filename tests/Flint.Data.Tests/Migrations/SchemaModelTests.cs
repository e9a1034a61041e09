using Flint.Data.Tests.Postgres;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata;
using Npgsql;

namespace Flint.Data.Tests.Migrations;

/// <summary>
/// The scripts and the EF model describe the same tables: columns with type and nullability, keys, indexes, foreign keys. Both are
/// written out as lines and compared.
/// </summary>
public sealed class SchemaModelTests(PostgresFixture server) : IDisposable
{
    // Plain ADO's, without entities.
    private static readonly string[] Unmodelled = ["schema_version", "invocations", "invocation_data", "code_blob_data"];

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Sqlite_tables_are_those_of_the_model()
    {
        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path });
        await using var connection = new SqliteConnection($"Data Source={_directory.File("flint.db")};Mode=ReadOnly;Pooling=False");
        await connection.OpenAsync();
        var actual = await LinesAsync(connection, """
            WITH t AS (SELECT name FROM sqlite_schema WHERE type = 'table')
            SELECT t.name || ' column ' || c.name || ' ' || c.type || iif(c."notnull", ' not null', '') FROM t, pragma_table_info(t.name) c
            UNION ALL
            SELECT t.name || ' key ' || group_concat(c.name, ',' ORDER BY c.pk) FROM t, pragma_table_info(t.name) c WHERE c.pk > 0 GROUP BY t.name
            UNION ALL
            SELECT t.name || iif(i."unique", ' unique ', ' index ') || i.name || ' ' || group_concat(c.name, ',' ORDER BY c.seqno)
            FROM t, pragma_index_list(t.name) i, pragma_index_info(i.name) c WHERE i.origin = 'c' GROUP BY t.name, i.name
            UNION ALL
            SELECT t.name || ' foreign ' || group_concat(f."from", ',' ORDER BY f.seq) || ' to ' || f."table" || ' ' || group_concat(f."to", ',' ORDER BY f.seq) || ' ' || lower(f.on_delete)
            FROM t, pragma_foreign_key_list(t.name) f GROUP BY t.name, f.id
            """);
        Compare(actual, await ModelAsync(store));
    }

    [Fact]
    public async Task Postgres_tables_are_those_of_the_model()
    {
        var target = await server.CreateDatabaseAsync();
        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = target });
        await using var connection = new NpgsqlConnection(target);
        await connection.OpenAsync();
        var actual = await LinesAsync(connection, """
            WITH t AS (SELECT oid, relname::text AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)
            SELECT t.name || ' column ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
            FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT t.name || CASE WHEN i.indisprimary THEN ' key ' WHEN i.indisunique THEN ' unique ' || c.relname || ' ' ELSE ' index ' || c.relname || ' ' END
                || (SELECT string_agg(pg_get_indexdef(i.indexrelid, n, false), ',' ORDER BY n) FROM generate_series(1, i.indnkeyatts) n)
            FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class c ON c.oid = i.indexrelid
            UNION ALL
            SELECT t.name || ' foreign '
                || (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num)
                || ' to ' || f.confrelid::regclass || ' '
                || (SELECT string_agg(a.attname, ',' ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num)
                || CASE f.confdeltype WHEN 'c' THEN ' cascade' WHEN 'a' THEN ' no action' ELSE ' other' END
            FROM t JOIN pg_constraint f ON f.conrelid = t.oid AND f.contype = 'f'
            """);
        Compare(actual, await ModelAsync(store));
    }

    [Fact]
    public async Task Every_key_and_unique_index_starts_with_the_tenant()
    {
        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path });
        await using var connection = new SqliteConnection($"Data Source={_directory.File("flint.db")};Mode=ReadOnly;Pooling=False");
        await connection.OpenAsync();
        var first = await LinesAsync(connection, """
            SELECT t.name || '.' || i.name || ' ' || c.name
            FROM (SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version') t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
            WHERE c.seqno = 0
            """);
        first.Count.ShouldBeGreaterThan(8);
        first.ShouldAllBe(line => line.EndsWith(" tenant_id"));
    }

    private static void Compare(List<string> actual, List<string> model)
    {
        var modelled = actual.Where(line => !Unmodelled.Contains(line.Split(' ')[0])).Order(StringComparer.Ordinal).ToList();
        modelled.ShouldBe(model.Order(StringComparer.Ordinal));
        model.Count.ShouldBeGreaterThan(40);
    }

    private static Task<List<string>> ModelAsync(TestStore store) => store.Catalog.ReadAsync(
        (db, _) => Task.FromResult(db.Model.GetRelationalModel().Tables.SelectMany(Describe).ToList()), default);

    private static IEnumerable<string> Describe(ITable table)
    {
        foreach (var column in table.Columns)
        {
            yield return $"{table.Name} column {column.Name} {column.StoreType}{(column.IsNullable ? "" : " not null")}";
        }

        yield return $"{table.Name} key {Names(table.PrimaryKey!.Columns)}";
        foreach (var index in table.Indexes)
        {
            yield return $"{table.Name} {(index.IsUnique ? "unique" : "index")} {index.Name} {Names(index.Columns)}";
        }

        foreach (var key in table.ForeignKeyConstraints)
        {
            var action = key.OnDeleteAction == Microsoft.EntityFrameworkCore.Migrations.ReferentialAction.Cascade ? "cascade" : "no action";
            yield return $"{table.Name} foreign {Names(key.Columns)} to {key.PrincipalTable.Name} {Names(key.PrincipalColumns)} {action}";
        }
    }

    private static string Names(IEnumerable<IColumn> columns) => string.Join(',', columns.Select(column => column.Name));

    private static async Task<List<string>> LinesAsync(System.Data.Common.DbConnection connection, string sql)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var lines = new List<string>();
        while (await reader.ReadAsync())
        {
            lines.Add(reader.GetString(0));
        }

        return lines;
    }
}
