using Flint.Data.Catalog;
using Flint.Data.Hosting;
using Flint.Data.Invocations;
using Flint.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;

namespace Flint.Data.Tests;

public sealed class HostingTests
{
    [Fact]
    public void Defaults_are_valid_and_mean_sqlite()
    {
        new DatabaseOptions().Validate().ShouldBeEmpty();
        new DatabaseOptions().UsesPostgres.ShouldBeFalse();
        new DatabaseOptions { ConnectionString = "Host=db;Database=flint" }.Validate().ShouldBeEmpty();
    }

    [Fact]
    public void All_problems_are_told_at_once_each_with_its_knob()
    {
        var problems = new DatabaseOptions
        {
            DataPath = " ",
            ConnectionString = "Nonsense=hunter2",
            BusyTimeoutMs = -1,
            WalLimitBytes = 0,
            JournalWindowMs = 0,
            JournalMaxRows = 0,
            JournalMaxBytes = 0,
            ShutdownFlushMs = 0,
        }.Validate();
        problems.Count.ShouldBe(8);
        foreach (var knob in new[]
        {
            "Flint:DataPath", "Flint:Database:ConnectionString", "Flint:Database:BusyTimeoutMs", "Flint:Database:WalLimitBytes", "Flint:Database:JournalWindowMs",
            "Flint:Database:JournalMaxRows", "Flint:Database:JournalMaxBytes", "Flint:Database:ShutdownFlushMs",
        })
        {
            problems.ShouldContain(problem => problem.Contains(knob, StringComparison.Ordinal), knob);
        }

        problems.ShouldNotContain(problem => problem.Contains("hunter2", StringComparison.Ordinal));
    }

    [Fact]
    public void Invalid_options_are_refused_when_registered() =>
        Should.Throw<ArgumentException>(() => new ServiceCollection().AddFlintData(new() { ConnectionString = "Database=x" })).Message.ShouldContain("Host");

    [Fact]
    public async Task Disposing_the_container_writes_what_is_buffered()
    {
        using var directory = new TempDirectory();
        var row = Rows.Invocation();
        await using (var store = await TestStore.OpenAsync(new() { DataPath = directory.Path, JournalWindowMs = 1000 }))
        {
            await store.Journal.RecordAsync(row, strict: false, default);
        }

        await using var again = await TestStore.OpenAsync(new() { DataPath = directory.Path });
        (await again.Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull();
    }

    [Fact]
    public async Task The_connection_string_chooses_the_provider()
    {
        await using var sqlite = new ServiceCollection().AddFlintData(new()).BuildServiceProvider();
        await using var postgres = new ServiceCollection().AddFlintData(new() { ConnectionString = "Host=nowhere.invalid" }).BuildServiceProvider();
        sqlite.GetRequiredService<IDatabase>().Provider.ShouldBe("sqlite");
        postgres.GetRequiredService<IDatabase>().Provider.ShouldBe("postgresql");
        sqlite.GetRequiredService<ICatalogStore>().ShouldBeOfType<SqliteCatalogStore>();
        postgres.GetRequiredService<InvocationJournal>().ShouldNotBeNull();
    }

    [Fact]
    public void Storable_text_is_well_formed_and_without_nul()
    {
        // Not in attributes: those are kept as UTF-8.
        foreach (var text in new[] { "", "plain", "é ✓ 🙂" })
        {
            StorableText.Is(text).ShouldBeTrue();
            StorableText.Clean(text).ShouldBeSameAs(text);
        }

        foreach (var text in new[] { "a\0", "\ud83d", "\ude42\ud83d", "🙂\ud83d🙂" })
        {
            StorableText.Is(text).ShouldBeFalse();
            StorableText.Is(StorableText.Clean(text)!).ShouldBeTrue();
        }
    }
}
