using System.Data.Common;
using Flint.Data.Hosting;
using Flint.Data.Migrations;
using Flint.Data.Sqlite;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Tests.Migrations;

public sealed class SqliteMigrationTests : MigrationTests
{
    protected override string Provider => "sqlite";

    protected override DatabaseOptions Options => new() { DataPath = Directory.Path };

    protected override async Task<DbConnection> OpenAsync() => await OpenFileAsync(Directory.Path);

    private protected override async Task<int> MigrateAsync(IReadOnlyList<MigrationScript> scripts)
    {
        await using var connection = await OpenFileAsync(Directory.Path);
        return new SqliteMigrator("test", scripts, TimeProvider.System).Migrate(connection);
    }

    protected override async Task<List<string>> FreshSchemaAsync()
    {
        using var fresh = new TempDirectory();
        await using (await TestStore.OpenAsync(new() { DataPath = fresh.Path }))
        {
        }

        await using var connection = await OpenFileAsync(fresh.Path);
        return await SchemaText.ReadAsync(connection);
    }

    private static async Task<SqliteConnection> OpenFileAsync(string directory)
    {
        var connection = new SqliteConnection($"Data Source={directory}/flint.db;Pooling=False;Foreign Keys=False");
        await connection.OpenAsync();
        return connection;
    }
}
