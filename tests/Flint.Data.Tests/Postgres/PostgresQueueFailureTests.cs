using Flint.Data.Postgres;
using Flint.Data.Queue;
using Npgsql;

namespace Flint.Data.Tests.Postgres;

/// <summary>The queue while its server, or a session of it, dies in the middle of whatever it does.</summary>
public sealed class PostgresQueueFailureTests(MortalServer mortal) : IClassFixture<MortalServer>, IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private PostgresServer _server = null!;
    private string _connectionString = "";
    private TestStore _store = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await mortal.RunningAsync();
        _connectionString = await _server.CreateDatabaseAsync();
        _store = await OpenAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        _directory.Dispose();
    }

    [Fact]
    public async Task Sessions_that_are_ended_at_any_point_lose_and_double_nothing()
    {
        var load = new QueueLoad(_store);
        using var ending = new CancellationTokenSource();
        var running = load.RunAsync(ending.Token);
        for (var round = 0; round < 15; round++)
        {
            await MoreAsync(load, running, 20);
            await EndSessionsAsync();
        }

        await ending.CancelAsync();
        await running;
        await load.CheckAsync();
    }

    [Fact]
    public async Task A_crash_of_the_server_loses_and_doubles_nothing()
    {
        var load = new QueueLoad(_store);
        using var ending = new CancellationTokenSource();
        var running = load.RunAsync(ending.Token);
        for (var round = 0; round < 3; round++)
        {
            await MoreAsync(load, running, 200);
            await _server.KillAsync();
            await _server.StartAsync();
        }

        await MoreAsync(load, running, 50);
        await ending.CancelAsync();
        await running;
        await load.CheckAsync();
    }

    [Fact]
    public async Task A_commit_whose_answer_is_lost_is_repeated_without_harm()
    {
        await using var proxy = new CuttingProxy(new NpgsqlConnectionStringBuilder(_connectionString).Port);
        await using var store = await OpenAsync($";Port={proxy.Port}");
        var queue = store.Get<IQueueStore>();
        var worker = QueueRows.Worker();
        await queue.RegisterAsync(worker, TimeSpan.FromMinutes(10), default);

        var entries = QueueRows.Entries(5).Select((entry, i) => entry with { IdempotencyKey = $"{i}", Fingerprint = new byte[32] }).ToList();
        proxy.CutAnswerTo("COMMIT");
        (await queue.EnqueueAsync(entries, default)).ShouldAllBe(result => result.Outcome == EnqueueOutcome.Added);
        proxy.HasCut.ShouldBeTrue();
        (await queue.DepthAsync(null, 100, default)).Waiting.ShouldBe(5);

        // What the lost answer told of is given back, and claimed anew under a higher lease.
        proxy.CutAnswerTo("COMMIT");
        var items = (await queue.ClaimAsync(new(worker.Id, 3), default)).Items;
        proxy.HasCut.ShouldBeTrue();
        items.Select(item => (item.LeaseNo, item.Attempt)).ShouldBe([(2, 1), (2, 1), (2, 1)]);
        var leased = (await queue.RenewAsync(worker, TimeSpan.FromMinutes(10), default)).Items;
        leased.Select(item => (item.Id, item.LeaseNo)).Order().ShouldBe(items.Select(item => (item.Id, item.LeaseNo)).Order());

        proxy.CutAnswerTo("COMMIT");
        await queue.SettleAsync([QueueRows.Finished(items[0]) with { Then = [QueueRows.Entry(lane: "next")], DeadLetterList = "dead" }], default);
        proxy.HasCut.ShouldBeTrue();
        (await store.Invocations.GetAsync("default", items[0].Id, default))!.Status.ShouldBe("COMPLETED");
        (await queue.LaneAsync("default", "next", default)).Waiting.ShouldBe(1);
    }

    [Fact]
    public async Task A_pool_without_a_free_connection_is_told_and_repeating_is_safe()
    {
        await using var small = await OpenAsync(";Maximum Pool Size=2;Timeout=1");
        var queue = small.Get<IQueueStore>();
        var entries = QueueRows.Entries(3);
        var source = small.Get<PostgresDatabase>().DataSource;
        await using (await source.OpenConnectionAsync())
        await using (await source.OpenConnectionAsync())
        {
            var fault = await Should.ThrowAsync<DatabaseException>(() => queue.EnqueueAsync(entries, default));
            fault.Message.ShouldContain("Maximum Pool Size");
        }

        await queue.EnqueueAsync(entries, default);
        await queue.EnqueueAsync(entries, default);
        var worker = QueueRows.Worker();
        await queue.RegisterAsync(worker, TimeSpan.FromMinutes(1), default);
        (await queue.ClaimAsync(new(worker.Id, 10), default)).Items.Count.ShouldBe(3);
    }

    [Fact]
    public async Task A_transaction_that_idles_with_locks_and_a_snapshot_holds_up_nothing_but_what_it_locked()
    {
        var queue = _store.Get<IQueueStore>();
        var worker = QueueRows.Worker();
        await queue.RegisterAsync(worker, TimeSpan.FromMinutes(10), default);
        var entries = QueueRows.Entries(20);
        await queue.EnqueueAsync(entries, default);
        await using var idle = new NpgsqlConnection(_connectionString + ";Pooling=false");
        await idle.OpenAsync();
        await using var transaction = await idle.BeginTransactionAsync(System.Data.IsolationLevel.RepeatableRead);
        await using (var locking = new NpgsqlCommand("SELECT 1 FROM queue WHERE id = $1 FOR UPDATE", idle, transaction))
        {
            locking.Parameters.Add(new() { Value = Guid.Parse(entries[0].Row.Id) });
            await locking.ExecuteNonQueryAsync();
        }

        var done = new HashSet<string>();
        while (done.Count < 19)
        {
            var items = (await queue.ClaimAsync(new(worker.Id, 5), default)).Items;
            (await queue.SettleAsync([.. items.Select(item => QueueRows.Finished(item))], default)).ShouldAllBe(held => held);
            items.ShouldAllBe(item => done.Add(item.Id));
        }

        done.ShouldNotContain(entries[0].Row.Id);
        await transaction.RollbackAsync();
        (await queue.ClaimAsync(new(worker.Id, 5), default)).Items.ShouldHaveSingleItem().Id.ShouldBe(entries[0].Row.Id);
    }

    [Fact]
    public async Task Notices_come_back_after_a_crash_of_the_server()
    {
        var notices = _store.Get<QueueNotices>();
        using var subscription = notices.Subscribe(NoticeKinds.All);
        await HealthAsync(notices, subscription, healthy: true);
        await _server.KillAsync();
        await HealthAsync(notices, subscription, healthy: false);
        notices.Problem.ShouldNotBeNull().ShouldNotContain("Not proved");
        await _server.StartAsync();
        await HealthAsync(notices, subscription, healthy: true);
    }

    private static async Task HealthAsync(QueueNotices notices, NoticeSubscription subscription, bool healthy)
    {
        while (notices.Healthy != healthy)
        {
            await subscription.ReadAsync(default).WaitAsync(TimeSpan.FromSeconds(90));
        }
    }

    private static async Task MoreAsync(QueueLoad load, Task running, int more)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        for (var from = load.Settled; load.Settled < from + more;)
        {
            running.IsFaulted.ShouldBeFalse(running.Exception?.ToString());
            await Task.Delay(1, limit.Token);
        }
    }

    private Task<TestStore> OpenAsync(string further = "") => TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = _connectionString + further });

    private Task EndSessionsAsync() => ExecuteAsync(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'flint' AND datname = current_database() AND pid <> pg_backend_pid()");

    private async Task ExecuteAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(_connectionString + ";Pooling=false;Application Name=test");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
