using System.Collections.Concurrent;
using Flint.Data.Queue;
using Npgsql;

namespace Flint.Data.Tests.Postgres;

/// <summary>What only a database with many sessions can show of the queue.</summary>
public sealed class PostgresQueueSessionTests(PostgresFixture server) : IAsyncLifetime
{
    private readonly TempDirectory _directory = new();
    private string _connectionString = "";
    private TestStore _store = null!;
    private IQueueStore _queue = null!;
    private string _worker = "";

    public async ValueTask InitializeAsync()
    {
        _connectionString = await server.CreateDatabaseAsync();
        _store = await TestStore.OpenAsync(new() { DataPath = _directory.Path, ConnectionString = _connectionString });
        _queue = _store.Get<IQueueStore>();
        _worker = await RegisterAsync();
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
    public async Task An_item_goes_its_way()
    {
        var entry = QueueRows.Entry() with { Tags = ["a", "b"], Priority = 3 };
        (await _queue.EnqueueAsync([entry], default)).ShouldBe([new EnqueueResult(EnqueueOutcome.Added, entry.Row.Id)]);
        (await _queue.DepthAsync(null, 100, default)).ShouldSatisfyAllConditions(
            depth => depth.Waiting.ShouldBe(1), depth => depth.Running.ShouldBe(0), depth => depth.OldestWaiting.ShouldNotBeNull());

        var item = (await ClaimAsync(10)).ShouldHaveSingleItem();
        item.Id.ShouldBe(entry.Row.Id);
        (item.LeaseNo, item.Attempt, item.Losses, item.Priority, item.Lane).ShouldBe((1, 1, 0, 3, QueueRows.DefaultLane));
        item.Tags.ShouldBe(["a", "b"]);
        item.WorkJson.ShouldBe(entry.WorkJson);
        item.Payload!.Value.ToArray().ShouldBe(entry.Row.Payload!.Value.ToArray());
        item.Source!.Value.ToArray().ShouldBe(entry.Source!.Value.ToArray());
        (await ClaimAsync(10)).ShouldBeEmpty();
        (await _store.Invocations.GetAsync("default", item.Id, default))!.Status.ShouldBe("RUNNING");

        (await _queue.SettleAsync([QueueRows.Finished(item)], default)).ShouldBe([true]);
        (await _queue.SettleAsync([QueueRows.Finished(item, "FAILED")], default)).ShouldBe([false]);
        var record = (await _store.Invocations.GetAsync("default", item.Id, default))!;
        (record.Status, record.Attempts).ShouldBe(("COMPLETED", 1));
        record.Result.ShouldNotBeNull();
        record.Tags.ShouldBe(["a", "b"]);
        (await _queue.DepthAsync(null, 100, default)).ShouldBe(new QueueDepth(0, 0, 0, null));
    }

    [Fact]
    public async Task Claims_at_once_never_share_an_item_and_leave_none()
    {
        var added = new List<QueueEntry>();
        for (var i = 0; i < 6; i++)
        {
            added.AddRange(QueueRows.Entries(100, tenant: i < 2 ? "one" : $"t{i}", lane: $"lane{i % 3}"));
        }

        await _queue.EnqueueAsync(added, default);
        var claimed = new ConcurrentBag<string>();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            var worker = await RegisterAsync();
            while (!AllClaimed(claimed, added.Count))
            {
                foreach (var item in (await _queue.ClaimAsync(new(worker, 7), default)).Items)
                {
                    claimed.Add(item.Id);
                }
            }
        }));
        claimed.Order().ShouldBe(added.Select(entry => entry.Row.Id).Order());
    }

    [Fact]
    public async Task Tenants_and_lanes_take_turns_whoever_has_most()
    {
        await _queue.EnqueueAsync([.. QueueRows.Entries(200, "busy", "a"), .. QueueRows.Entries(20, "busy", "b"), .. QueueRows.Entries(20, "calm", "a")], default);
        var items = await ClaimAsync(20);
        items.Count(item => item.TenantId == "calm").ShouldBe(10);
        items.Count(item => item is { TenantId: "busy", Lane: "b" }).ShouldBe(5);

        // One place at a time: nobody has two turns in a row.
        var turns = new List<string>();
        for (var i = 0; i < 6; i++)
        {
            turns.Add((await ClaimAsync(1)).ShouldHaveSingleItem().TenantId);
        }

        turns.Distinct().Count().ShouldBe(2);
        turns.Zip(turns.Skip(1)).ShouldAllBe(pair => pair.First != pair.Second);
    }

    [Fact]
    public async Task Places_that_small_lanes_leave_are_filled()
    {
        await _queue.EnqueueAsync([.. QueueRows.Entries(100, "a", "large"), .. QueueRows.Entries(1, "a", "small"), .. QueueRows.Entries(1, "b", "small")], default);
        (await ClaimAsync(30)).Count.ShouldBe(30);
    }

    [Fact]
    public async Task A_limit_holds_whoever_claims_at_the_same_time()
    {
        var limits = new LaneLimits(3, null);
        await _queue.EnqueueAsync([.. QueueRows.Entries(60, lane: "narrow").Select(entry => entry with { Limits = limits })], default);
        var most = 0;
        var running = 0;
        var done = 0;
        await Task.WhenAll(Enumerable.Range(0, 6).Select(async _ =>
        {
            var worker = await RegisterAsync();
            while (Volatile.Read(ref done) < 60)
            {
                var items = (await _queue.ClaimAsync(new(worker, 5), default)).Items;
                InterlockedMax(ref most, Interlocked.Add(ref running, items.Count));
                foreach (var item in items)
                {
                    // Counted down first: the database lets the next one go before this task hears of it.
                    Interlocked.Decrement(ref running);
                    (await _queue.SettleAsync([QueueRows.Finished(item)], default)).ShouldBe([true]);
                    Interlocked.Increment(ref done);
                }
            }
        }));
        done.ShouldBe(60);
        most.ShouldBeInRange(1, 3);
    }

    [Fact]
    public async Task A_limit_that_is_new_counts_what_runs_already()
    {
        await _queue.EnqueueAsync(QueueRows.Entries(10, lane: "late"), default);
        (await ClaimAsync(3)).Count.ShouldBe(3);
        await _queue.SetLaneAsync("default", "late", null, new LaneLimits(4, null), default);
        (await ClaimAsync(10)).Count.ShouldBe(1);
        await _queue.EnqueueAsync([QueueRows.Entry(lane: "late") with { Limits = new LaneLimits(6, null) }], default);
        (await ClaimAsync(10)).Count.ShouldBe(2);
    }

    [Fact]
    public async Task A_rate_lets_a_burst_through_and_says_when_the_next_may_start()
    {
        var limits = new LaneLimits(null, new LaneRate(4, TimeSpan.FromHours(1)));
        await _queue.EnqueueAsync([.. QueueRows.Entries(10, lane: "rated").Select(entry => entry with { Limits = limits })], default);
        var first = await _queue.ClaimAsync(new(_worker, 3), default);
        first.Items.Count.ShouldBe(3);
        var second = await _queue.ClaimAsync(new(_worker, 3), default);
        second.Items.Count.ShouldBe(1);
        second.NextDue!.Value.TotalMinutes.ShouldBeInRange(14, 15);
        var third = await _queue.ClaimAsync(new(_worker, 3), default);
        third.Items.ShouldBeEmpty();
        third.NextDue!.Value.TotalMinutes.ShouldBeInRange(14, 15);
    }

    [Fact]
    public async Task Lanes_that_may_not_start_do_not_hide_one_that_may()
    {
        for (var i = 0; i < 40; i++)
        {
            await _queue.EnqueueAsync([QueueRows.Entry(lane: $"p{i:00}")], default);
            await _queue.SetLaneAsync("default", $"p{i:00}", paused: true, null, default);
        }

        await _queue.EnqueueAsync([QueueRows.Entry(lane: "z")], default);
        (await ClaimAsync(10)).ShouldHaveSingleItem().Lane.ShouldBe("z");
        await _queue.SetLaneAsync("default", "p07", paused: false, null, default);
        (await ClaimAsync(10)).ShouldHaveSingleItem().Lane.ShouldBe("p07");
    }

    [Fact]
    public async Task A_lane_that_another_claim_has_locked_is_passed_over()
    {
        var limits = new LaneLimits(10, null);
        await _queue.EnqueueAsync([QueueRows.Entry(lane: "a") with { Limits = limits }, QueueRows.Entry(lane: "b") with { Limits = limits }], default);
        await using var other = new NpgsqlConnection(_connectionString);
        await other.OpenAsync();
        await using var transaction = await other.BeginTransactionAsync();
        await using (var locking = new NpgsqlCommand("SELECT 1 FROM lanes WHERE lane = 'a' FOR NO KEY UPDATE", other, transaction))
        {
            await locking.ExecuteNonQueryAsync();
        }

        (await ClaimAsync(10)).ShouldHaveSingleItem().Lane.ShouldBe("b");
        // Enqueueing into it does not wait.
        await _queue.EnqueueAsync([QueueRows.Entry(lane: "a") with { Limits = limits }], default).WaitAsync(TimeSpan.FromSeconds(30));
        await transaction.RollbackAsync();
        (await ClaimAsync(10)).Count.ShouldBe(2);
    }

    [Fact]
    public async Task Keys_of_idempotency_decide_between_servers()
    {
        var entries = Enumerable.Range(0, 12).Select(i => QueueRows.Entry() with { IdempotencyKey = "k", Fingerprint = new byte[32], Tags = [$"{i}"] }).ToList();
        var results = await Task.WhenAll(entries.Select(entry => Task.Run(() => _queue.EnqueueAsync([entry], default))));
        results.Count(result => result[0].Outcome == EnqueueOutcome.Added).ShouldBe(1);
        results.Select(result => result[0].Id).Distinct().ShouldHaveSingleItem();
        (await _queue.EnqueueAsync([entries[0] with { Fingerprint = [1, .. new byte[31]] }, QueueRows.Entry()], default))
            .Select(result => result.Outcome).ShouldBe([results[0][0].Outcome == EnqueueOutcome.Added ? EnqueueOutcome.Added : EnqueueOutcome.KeyTaken, EnqueueOutcome.Added]);
        (await ClaimAsync(10)).Count.ShouldBe(2);
    }

    [Fact]
    public async Task Settlements_at_once_in_any_order_do_not_deadlock()
    {
        await _queue.EnqueueAsync(QueueRows.Entries(400), default);
        var items = new List<ClaimedItem>();
        while (items.Count < 400)
        {
            items.AddRange(await ClaimAsync(200));
        }

        var settled = await Task.WhenAll(Enumerable.Range(0, 6).Select(n => Task.Run(async () =>
        {
            var count = 0;
            foreach (var chunk in items.OrderBy(_ => Random.Shared.Next()).Chunk(40))
            {
                Settlement Of(ClaimedItem item) => n % 2 == 0
                    ? QueueRows.Finished(item)
                    : new Settlement.Retry(item.TenantId, item.Id, item.LeaseNo, TimeSpan.Zero, true, null);
                count += (await _queue.SettleAsync([.. chunk.Select(Of)], default)).Count(held => held);
            }

            return count;
        })));
        settled.Sum().ShouldBe(400);
    }

    [Fact]
    public async Task What_follows_is_enqueued_only_with_a_lease_that_was_held()
    {
        await _queue.EnqueueAsync(QueueRows.Entries(2), default);
        var items = await ClaimAsync(2);
        (await _queue.CancelAsync("default", items[1].Id, default)).ShouldBe(_worker);
        var settled = await _queue.SettleAsync(
            [.. items.Select(item => QueueRows.Finished(item, "FAILED") with { Then = [QueueRows.Entry(lane: "after " + item.Id)], DeadLetterList = "dead" })], default);
        settled.ShouldBe([true, false]);
        (await ClaimAsync(10)).ShouldHaveSingleItem().Lane.ShouldBe("after " + items[0].Id);
        (await CountAsync("SELECT count(*) FROM dead_letters")).ShouldBe(1);
        (await _store.Invocations.GetAsync("default", items[1].Id, default))!.Status.ShouldBe("CANCELLED");
    }

    [Fact]
    public async Task Totals_are_the_sum_of_the_records()
    {
        await _queue.EnqueueAsync([.. QueueRows.Entries(4), QueueRows.Entry() with { TimeToLive = TimeSpan.FromTicks(10), Lane = "short" }], default);
        (await _queue.ExpireAsync(10, default)).Count.ShouldBe(1);
        var items = await ClaimAsync(3);
        await _queue.SettleAsync([QueueRows.Finished(items[0]), QueueRows.Finished(items[1], "FAILED") with { KeepPayload = false }], default);
        await _queue.CancelAsync("default", items[2].Id, default);
        await _queue.RescueAsync(1, all: true, exceptWorkerId: null, default);
        (await CountAsync("SELECT data_bytes FROM invocation_totals")).ShouldBe(await CountAsync("SELECT sum(data_bytes)::bigint FROM invocations"));
        var stored = await CountAsync("""
            SELECT sum(octet_length(w.work) + coalesce(octet_length(w.payload), 0) + coalesce(octet_length(w.source), 0) + coalesce(octet_length(d.error), 0)
                + coalesce(octet_length(d.result), 0) + coalesce(octet_length(d.log), 0))::bigint
            FROM invocations i JOIN invocation_work w USING (tenant_id, id) LEFT JOIN invocation_data d USING (tenant_id, id) WHERE i.status <> 'PENDING'
            """);
        (await CountAsync("SELECT data_bytes FROM invocation_totals")).ShouldBe(stored);
    }

    private static bool AllClaimed(ConcurrentBag<string> claimed, int count) => claimed.Count >= count;

    private static void InterlockedMax(ref int most, int value)
    {
        int seen;
        while (value > (seen = Volatile.Read(ref most)) && Interlocked.CompareExchange(ref most, value, seen) != seen)
        {
        }
    }

    private async Task<string> RegisterAsync()
    {
        var worker = QueueRows.Worker();
        await _queue.RegisterAsync(worker, TimeSpan.FromMinutes(10), default);
        return worker.Id;
    }

    private async Task<IReadOnlyList<ClaimedItem>> ClaimAsync(int places) => (await _queue.ClaimAsync(new(_worker, places), default)).Items;

    private async Task<long> CountAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(_connectionString);
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
