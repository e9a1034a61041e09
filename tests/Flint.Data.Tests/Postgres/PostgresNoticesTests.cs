using Flint.Data.Hosting;
using Flint.Data.Postgres;
using Flint.Data.Queue;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;

namespace Flint.Data.Tests.Postgres;

/// <summary>Notices between servers: two stores on one database are two servers.</summary>
public sealed class PostgresNoticesTests(PostgresFixture server) : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private static readonly PostgresNoticeOptions Impatient = new()
    {
        Interval = TimeSpan.FromMilliseconds(200),
        Patience = TimeSpan.FromSeconds(5),
        FirstBackoff = TimeSpan.FromMilliseconds(10),
        LongestBackoff = TimeSpan.FromMilliseconds(100),
    };

    private readonly TempDirectory _directory = new();
    private readonly List<TestStore> _stores = [];
    private string _connectionString = "";

    public async ValueTask InitializeAsync() => _connectionString = await server.CreateDatabaseAsync();

    public async ValueTask DisposeAsync()
    {
        foreach (var store in _stores)
        {
            await store.DisposeAsync();
        }

        _directory.Dispose();
    }

    [Fact]
    public async Task Servers_hear_each_other_and_themselves_but_once()
    {
        var (one, two) = (await OpenAsync(), await OpenAsync());
        using var here = one.Subscribe(NoticeKinds.All);
        using var there = two.Subscribe(NoticeKinds.All);
        await HealthyAsync(one, here);
        await HealthyAsync(two, there);
        var ids = Enumerable.Range(0, 3).Select(_ => Guid.CreateVersion7().ToString("D")).ToList();
        one.Finished(ids);
        (await UntilAsync(there, notices => notices.Finished.Count == 3)).Finished.Order().ShouldBe(ids.Order());
        (await UntilAsync(here, notices => notices.Finished.Count > 0)).Finished.Order().ShouldBe(ids.Order());

        two.Cancelled([ids[0]]);
        (await UntilAsync(here, notices => notices.Cancelled.Count > 0)).ShouldSatisfyAllConditions(
            notices => notices.Cancelled.ShouldBe([ids[0]]), notices => notices.Finished.ShouldBeEmpty());
        two.WorkAdded();
        two.Changed(ids[1]);
        await UntilAsync(here, notices => notices.Changed.Contains(ids[1]));
    }

    [Fact]
    public async Task A_flood_is_told_as_many()
    {
        var (one, two) = (await OpenAsync(), await OpenAsync());
        using var there = two.Subscribe(NoticeKinds.Finished);
        await HealthyAsync(two, there);
        one.Finished([.. Enumerable.Range(0, 1000).Select(_ => Guid.CreateVersion7().ToString("D"))]);
        (await UntilAsync(there, notices => notices.Missed == NoticeKinds.Finished)).Finished.Count.ShouldBe(0);
    }

    [Fact]
    public async Task A_connection_that_is_killed_comes_back_and_says_that_something_was_missed()
    {
        var (one, two) = (await OpenAsync(), await OpenAsync());
        using var there = two.Subscribe(NoticeKinds.All);
        await HealthyAsync(two, there);
        for (var i = 0; i < 3; i++)
        {
            await ExecuteAsync("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE application_name = 'flint-listen' AND datname = current_database()");
            await UntilAsync(there, notices => notices.Missed == NoticeKinds.All);
            await HealthyAsync(two, there);
        }

        var id = Guid.CreateVersion7().ToString("D");
        one.Changed(id);
        await UntilAsync(there, notices => notices.Changed.Contains(id));
    }

    [Fact]
    public async Task A_connection_that_drops_what_it_should_hear_is_found_out()
    {
        // As through a pooler: LISTEN is accepted, and nothing ever comes.
        var store = await OpenAsync(listen: await server.CreateDatabaseAsync(), Impatient with { Patience = TimeSpan.FromMilliseconds(200) });
        using var subscription = store.Subscribe(NoticeKinds.All);
        await UntilAsync(subscription, _ => store.Problem?.Contains("Flint:Database:ListenConnectionString", StringComparison.Ordinal) is true, () => store.Changed("other"));
        store.Healthy.ShouldBeFalse();
        // What happens in this server is told all the same.
        store.WorkAdded();
        await UntilAsync(subscription, notices => notices.Work);
    }

    [Fact]
    public async Task A_session_that_stops_listening_is_found_out_by_the_next_proof()
    {
        var notices = await OpenAsync(timing: Impatient with { Patience = TimeSpan.FromMilliseconds(500) });
        using var subscription = notices.Subscribe(NoticeKinds.All);
        await HealthyAsync(notices, subscription);
        // Notices no longer reach this database's listeners: the proof's own sending fails.
        await ExecuteAsync("ALTER DATABASE " + new NpgsqlConnectionStringBuilder(_connectionString).Database + " ALLOW_CONNECTIONS false", maintenance: true);
        await ExecuteAsync(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = '" + new NpgsqlConnectionStringBuilder(_connectionString).Database + "'", maintenance: true);
        await UntilAsync(subscription, _ => !notices.Healthy, () => notices.Changed("other"));
        await ExecuteAsync("ALTER DATABASE " + new NpgsqlConnectionStringBuilder(_connectionString).Database + " ALLOW_CONNECTIONS true", maintenance: true);
        await HealthyAsync(notices, subscription);
    }

    private async Task<QueueNotices> OpenAsync(string listen = "", PostgresNoticeOptions? timing = null)
    {
        var options = new DatabaseOptions { DataPath = _directory.Path, ConnectionString = _connectionString, ListenConnectionString = listen };
        var store = await TestStore.OpenAsync(options, services => services.AddSingleton(timing ?? Impatient));
        _stores.Add(store);
        return store.Get<QueueNotices>();
    }

    /// <summary>Each change of health is told; what else comes is passed over.</summary>
    private static async Task HealthyAsync(QueueNotices notices, NoticeSubscription subscription)
    {
        while (!notices.Healthy)
        {
            await subscription.ReadAsync(default).WaitAsync(Patience);
        }
    }

    /// <summary>Reads until something fits; <paramref name="stir"/> wakes the reader meanwhile, where what is waited for wakes nobody.</summary>
    private static async Task<Notices> UntilAsync(NoticeSubscription subscription, Func<Notices, bool> fits, Action? stir = null)
    {
        using var limit = new CancellationTokenSource(Patience);
        while (true)
        {
            stir?.Invoke();
            var notices = await subscription.ReadAsync(limit.Token);
            if (fits(notices))
            {
                return notices;
            }
        }
    }

    private async Task ExecuteAsync(string sql, bool maintenance = false)
    {
        var builder = new NpgsqlConnectionStringBuilder(_connectionString) { Pooling = false };
        builder.Database = maintenance ? "postgres" : builder.Database;
        await using var connection = new NpgsqlConnection(builder.ToString());
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
