using System.Data.Common;
using Flint.Data.Hosting;
using Flint.Data.Invocations;
using Flint.Data.Migrations;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data.Tests.Migrations;

/// <summary>What migrating means, on whichever provider the subclass opens.</summary>
public abstract class MigrationTests : IAsyncLifetime
{
    private protected static readonly MigrationScript Good = new(1, "0001_good", "CREATE TABLE good (id text NOT NULL)");
    private protected static readonly MigrationScript Bad = new(2, "0002_bad", "CREATE TABLE half (id text NOT NULL); CREATE TABLE oops (");

    internal TempDirectory Directory { get; } = new();

    /// <summary>A connection to the test's database, which is empty at first.</summary>
    protected DbConnection Connection { get; private set; } = null!;

    protected abstract string Provider { get; }

    protected abstract DatabaseOptions Options { get; }

    public virtual async ValueTask InitializeAsync()
    {
        Connection = await OpenAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (Connection is not null)
        {
            await Connection.DisposeAsync();
        }

        Directory.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>The last version that was given out. Later ones are still made together, and get the one dump of the last of them when they are.</summary>
    private const int LastReleased = 4;

    public static TheoryData<int> Released() => [.. Enumerable.Range(1, LastReleased)];

    [Theory]
    [MemberData(nameof(Released))]
    public async Task Each_released_schema_with_data_is_upgraded(int version)
    {
        var dump = Path.Combine(AppContext.BaseDirectory, "Migrations", "Dumps", $"{Provider}-{version:0000}.sql");
        File.Exists(dump).ShouldBeTrue($"A released schema needs its dump: {dump}");
        await ExecuteAsync(await File.ReadAllTextAsync(dump));
        await ReconnectAsync();

        await using (var store = await TestStore.OpenAsync(Options))
        {
            var functions = await store.Catalog.ReadAsync((db, token) => db.Functions.OrderBy(f => f.TenantId).ToListAsync(token), default);
            functions.Select(function => (function.TenantId, function.Name, function.LastVersion)).ShouldBe([("default", "hello", 2), ("other", "hello", 2)]);
            functions[0].CreatedAt.ShouldBe(Rows.Start);
            functions.Select(function => (function.Start, function.Network)).Distinct().ShouldBe([("zygote", "none")]);
            functions[0].AsyncJson.ShouldBe("{}");
            (await store.Catalog.ReadAsync((db, token) => db.Aliases.CountAsync(token), default)).ShouldBe(2);
            var page = await store.Invocations.ListAsync(new() { TenantId = "default" }, default);
            page.Rows.Count.ShouldBe(4);
            page.Rows.ShouldAllBe(row => row.Attempts == 1 && row.WorkJson == null && row.Tags.Count == 0 && row.RunAt == null);
            (await store.Invocations.GetAsync("default", page.Rows[3].Id, default))!.Result!.Value.ToArray().ShouldBe("true"u8.ToArray());
            (await store.Invocations.ListAsync(new() { TenantId = "default", ColdStart = true }, default)).Rows.ShouldHaveSingleItem();
            (await SchemaText.LinesAsync(Connection, "SELECT tenant_id || ' ' || data_bytes FROM invocation_totals")).ShouldBe(["default 26"]);
            (await SchemaText.LinesAsync(Connection, "SELECT '' || data_bytes FROM invocations ORDER BY id")).ShouldBe(["6", "8", "6", "6"]);
            (await store.Invocations.PruneAsync(new Retention(null, 1), Rows.Start, 100, default)).ShouldBe(3);
        }

        (await SchemaText.ReadAsync(Connection)).ShouldBe(await FreshSchemaAsync());
    }

    [Fact]
    public async Task Migrating_again_does_nothing()
    {
        await using (await TestStore.OpenAsync(Options))
        {
        }

        await using var again = await TestStore.OpenAsync(Options);
        await again.Database.MigrateAsync(default);
        (await SchemaText.LinesAsync(Connection, "SELECT name FROM schema_version ORDER BY version")).ShouldBe(["0001_initial", "0002_cold_start_index", "0003_data_bytes", "0004_start_and_network", "0005_queue", "0006_schedules", "0007_async"]);
    }

    [Fact]
    public async Task A_newer_schema_is_refused()
    {
        await using (await TestStore.OpenAsync(Options))
        {
        }

        await ExecuteAsync("INSERT INTO schema_version SELECT 8, '0008_future', 'x', applied_at FROM schema_version WHERE version = 1");
        var fault = await Should.ThrowAsync<SchemaException>(() => TestStore.OpenAsync(Options));
        fault.Message.ShouldContain("schema version 8, but this Flint knows versions up to 7");
    }

    [Fact]
    public async Task A_changed_script_is_refused()
    {
        await using (await TestStore.OpenAsync(Options))
        {
        }

        await ExecuteAsync($"UPDATE schema_version SET checksum = '{new string('0', 64)}' WHERE version = 1");
        (await Should.ThrowAsync<SchemaException>(() => TestStore.OpenAsync(Options))).Message.ShouldContain("0001_initial");
    }

    [Fact]
    public async Task A_gap_is_refused()
    {
        await using (await TestStore.OpenAsync(Options))
        {
        }

        await ExecuteAsync("DELETE FROM schema_version WHERE version = 1");
        (await Should.ThrowAsync<SchemaException>(() => TestStore.OpenAsync(Options))).Message.ShouldContain("lacks migration 1");
    }

    [Fact]
    public async Task A_failing_script_leaves_nothing_and_the_mended_one_runs()
    {
        await Should.ThrowAsync<DbException>(() => MigrateAsync([Good, Bad]));
        await ReconnectAsync();
        var tables = await SchemaText.ReadAsync(Connection);
        tables.ShouldContain(line => line.StartsWith("good "));
        tables.ShouldNotContain(line => line.StartsWith("half "));

        (await MigrateAsync([Good, Bad with { Sql = "CREATE TABLE half (id text NOT NULL)" }])).ShouldBe(1);
    }

    [Fact]
    public async Task Servers_that_start_together_run_each_script_once()
    {
        var ran = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => MigrateAsync([Good, new(2, "0002_more", "INSERT INTO good VALUES ('once')")]))));
        ran.Sum().ShouldBe(2);
        (await SchemaText.LinesAsync(Connection, "SELECT id FROM good")).ShouldBe(["once"]);
    }

    [Fact]
    public void Both_providers_have_the_same_migrations() =>
        MigrationScript.Load("Sqlite").Select(script => script.Name).ShouldBe(MigrationScript.Load("Postgres").Select(script => script.Name));

    [Fact]
    public void Line_ends_do_not_change_a_checksum() =>
        new MigrationScript(1, "a", "one\r\ntwo\r\n").Checksum.ShouldBe(new MigrationScript(1, "a", "one\ntwo\n").Checksum);

    /// <summary>Opens the test's database.</summary>
    protected abstract Task<DbConnection> OpenAsync();

    /// <summary>Runs the provider's migrator on a connection of its own.</summary>
    private protected abstract Task<int> MigrateAsync(IReadOnlyList<MigrationScript> scripts);

    /// <summary>The schema of a database made from empty.</summary>
    protected abstract Task<List<string>> FreshSchemaAsync();

    protected async Task ExecuteAsync(string sql)
    {
        await using var command = Connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync();
    }

    private async Task ReconnectAsync()
    {
        await Connection.DisposeAsync();
        Connection = await OpenAsync();
    }
}
