using System.Data.Common;
using Flint.Data.Hosting;
using Flint.Data.Migrations;
using Flint.Data.Postgres;
using Flint.Data.Tests.Postgres;
using Npgsql;

namespace Flint.Data.Tests.Migrations;

public sealed class PostgresMigrationTests(PostgresFixture server) : MigrationTests
{
    private string _target = "";

    protected override string Provider => "postgres";

    protected override DatabaseOptions Options => new() { DataPath = Directory.Path, ConnectionString = _target };

    [Fact]
    public async Task The_lock_of_a_lost_session_does_not_outlive_it()
    {
        var holder = (NpgsqlConnection)await OpenAsync();
        // A migrator that has done its work still holds the lock until its connection closes.
        await new PostgresMigrator("test", [Good], TimeProvider.System).MigrateAsync(holder, default);
        var second = MigrateAsync([Good]);
        await WaitUntilBlockedAsync();
        second.IsCompleted.ShouldBeFalse();

        await ExecuteAsync($"SELECT pg_terminate_backend({holder.ProcessID})");
        (await second).ShouldBe(0);
        await holder.DisposeAsync();
    }

    public override async ValueTask InitializeAsync()
    {
        _target = await server.CreateDatabaseAsync();
        await base.InitializeAsync();
    }

    protected override async Task<DbConnection> OpenAsync() => await OpenTargetAsync(_target);

    private protected override async Task<int> MigrateAsync(IReadOnlyList<MigrationScript> scripts)
    {
        await using var connection = await OpenTargetAsync(_target);
        return await new PostgresMigrator("test", scripts, TimeProvider.System).MigrateAsync(connection, default);
    }

    protected override async Task<List<string>> FreshSchemaAsync()
    {
        var target = await server.CreateDatabaseAsync();
        await using (await TestStore.OpenAsync(new() { DataPath = Directory.Path, ConnectionString = target }))
        {
        }

        await using var connection = await OpenTargetAsync(target);
        return await SchemaText.ReadAsync(connection);
    }

    private async Task WaitUntilBlockedAsync()
    {
        const string Blocked = "SELECT 'yes' FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while ((await SchemaText.LinesAsync(Connection, Blocked)).Count == 0)
        {
            await Task.Delay(10, limit.Token);
        }
    }

    private static async Task<NpgsqlConnection> OpenTargetAsync(string target)
    {
        var connection = new NpgsqlConnection(target + ";Pooling=false");
        await connection.OpenAsync();
        return connection;
    }
}
