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
    private static readonly string[] Unmodelled =
    [
        "schema_version", "invocations", "invocation_data", "invocation_totals", "code_blob_data",
        "invocation_work", "invocation_tags", "queue", "lanes", "workers", "idempotency_keys",
    ];

    // Walked for all tenants together: by the clock, or by a worker's id.
    private static readonly string[] OfAllTenants =
    [
        "queue.ix_queue_delayed run_at", "queue.ix_queue_worker worker_id", "queue.ix_queue_expiry expires_at",
        "idempotency_keys.ix_idempotency_keys_expiry expires_at", "schedules.ix_schedules_due next_at", "workers.sqlite_autoindex_workers_1 id",
    ];

    private readonly TempDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Sqlite_tables_are_those_of_the_model()
    {
        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path });
        await using var connection = new SqliteConnection($"Data Source={_directory.File("flint.db")};Mode=ReadOnly;Pooling=False");
        await connection.OpenAsync();
        var actual = await SchemaText.ReadAsync(connection);
        Compare(actual, await ModelAsync(store));
    }

    [Fact]
    public async Task Postgres_tables_are_those_of_the_model()
    {
        var target = await server.CreateDatabaseAsync();
        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = target });
        await using var connection = new NpgsqlConnection(target);
        await connection.OpenAsync();
        var actual = await SchemaText.ReadAsync(connection);
        Compare(actual, await ModelAsync(store));
    }

    [Fact]
    public async Task Every_key_and_index_starts_with_the_tenant_but_those_of_the_queues_clock_and_workers()
    {
        await using var store = await TestStore.OpenAsync(new() { DataPath = _directory.Path });
        await using var connection = new SqliteConnection($"Data Source={_directory.File("flint.db")};Mode=ReadOnly;Pooling=False");
        await connection.OpenAsync();
        var first = await SchemaText.LinesAsync(connection, """
            SELECT t.name || '.' || i.name || ' ' || c.name
            FROM (SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version') t, pragma_index_list(t.name) i, pragma_index_info(i.name) c
            WHERE c.seqno = 0
            """);
        first.Count.ShouldBeGreaterThan(8);
        first.Where(line => !line.EndsWith(" tenant_id")).Order(StringComparer.Ordinal).ShouldBe(OfAllTenants.Order(StringComparer.Ordinal));
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
}
