using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    [Fact]
    public async Task A_claim_brings_all_that_running_needs_and_the_record_shows_that_it_runs()
    {
        await RegisterAsync("w1");
        var entry = Entry(lane: "function:f-1", priority: 7, mode: "async") with { Source = "code"u8.ToArray(), Tags = ["a"] };
        entry = entry with { Row = entry.Row with { FunctionId = "f-1", FunctionName = "hello", Version = "3", Qualifier = "live" } };
        var id = await EnqueueAsync(entry);
        var item = await ClaimOneAsync();
        (item.TenantId, item.Id, item.LeaseNo, item.Attempt, item.Losses, item.Lane, item.Priority, item.Mode).ShouldBe(("default", id, 1, 1, 0, "function:f-1", 7, "async"));
        (item.FunctionId, item.FunctionName, item.Version, item.Qualifier, item.WorkJson, item.AttemptsJson, item.Expired)
            .ShouldBe(("f-1", "hello", "3", "live", entry.WorkJson, null, false));
        item.CreatedAt.ToUnixTimeMilliseconds().ShouldBe(entry.Row.CreatedAt.ToUnixTimeMilliseconds());
        item.Payload!.Value.ToArray().ShouldBe("[1]"u8.ToArray());
        item.Source!.Value.ToArray().ShouldBe("code"u8.ToArray());
        item.Tags.ShouldBe(["a"]);

        var row = await RecordAsync(id);
        (row.Status, row.Attempts, row.WorkerId, row.CompletedAt).ShouldBe(("RUNNING", 1, "w1", null));
        row.StartedAt!.Value.ToUnixTimeMilliseconds().ShouldBe(item.ClaimedAt.ToUnixTimeMilliseconds());
        (await ClaimAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task Without_a_lease_there_is_no_claim()
    {
        await EnqueueAsync(Entry());
        var none = await Queue.ClaimAsync(new ClaimRequest("w1", 10), default);
        (none.LeaseHeld, none.Items.Count).ShouldBe((false, 0));
        await RegisterAsync("w1");
        await EndLeaseAsync("w1");
        var over = await Queue.ClaimAsync(new ClaimRequest("w1", 10), default);
        (over.LeaseHeld, over.Items.Count).ShouldBe((false, 0));
        (await StatusesAsync()).ShouldBe(["PENDING"]);
    }

    [Fact]
    public async Task A_claim_is_for_one_to_a_thousand_places()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(1010));
        (await ClaimAsync(1)).Count.ShouldBe(1);
        (await ClaimAsync(7)).Count.ShouldBe(7);
        (await ClaimAsync(1000)).Count.ShouldBe(1000);
        (await ClaimAsync(1000)).Count.ShouldBe(2);
        await Should.ThrowAsync<ArgumentException>(() => Queue.ClaimAsync(new ClaimRequest("w1", 0), default));
        await Should.ThrowAsync<ArgumentException>(() => Queue.ClaimAsync(new ClaimRequest("w1", 1001), default));
    }

    [Fact]
    public async Task Within_a_lane_the_higher_priority_is_first_and_then_the_earlier()
    {
        await RegisterAsync("w1");
        var entries = new[] { 0, -100, 100, 0, 5, 100 }.Select(priority => Entry(priority: priority)).ToList();
        await EnqueueAsync(entries);
        var order = new[] { 2, 5, 4, 0, 3, 1 }.Select(i => entries[i].Row.Id).ToList();
        var claimed = (await ClaimAsync(4)).Concat(await ClaimAsync(1)).Concat(await ClaimAsync(4));
        claimed.Select(item => item.Id).ShouldBe(order);
    }

    [Fact]
    public async Task Priority_does_not_reach_beyond_its_lane()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(20, lane: "a", priority: 100).Concat(Entries(20, lane: "b", priority: -100)));
        (await ClaimAsync(10)).GroupBy(item => item.Lane).Select(lane => lane.Count()).ShouldBe([5, 5]);
    }

    [Fact]
    public async Task A_hundred_thousand_in_one_lane_do_not_delay_another()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(100_000, lane: "a", priority: 100));
        var late = await EnqueueAsync(Entry(lane: "b"));
        var other = await EnqueueAsync(Entry("other", "c"));
        var claimed = (await ClaimAsync(4)).Select(item => item.Id).ToList();
        claimed.ShouldContain(other);
        claimed.ShouldContain(late);
        (await Queue.DepthAsync(null, 1000, default)).Waiting.ShouldBe(1000);
        (await Queue.DepthAsync("other", 1000, default)).Waiting.ShouldBe(0);
        (await Queue.CountAsync(new() { TenantId = "default", Status = "PENDING", Mode = "job" }, 5000, default)).ShouldBe(5000);
        (await Store.Invocations.ListAsync(new() { TenantId = "default", Status = "RUNNING" }, default)).Rows.Count.ShouldBe(3);
    }

    [Fact]
    public async Task Tenants_and_lanes_have_turns_also_when_places_come_one_by_one()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Enumerable.Range(0, 5).SelectMany(lane => Entries(10, "many", $"lane-{lane}")).Concat(Entries(25, "one")));
        var turns = new List<ClaimedItem>();
        for (var i = 0; i < 20; i++)
        {
            turns.AddRange(await ClaimAsync(1));
        }

        turns.Chunk(2).ShouldAllBe(pair => pair[0].TenantId != pair[1].TenantId);
        turns.Where(item => item.TenantId == "many").Chunk(5).ShouldAllBe(round => round.DistinctBy(item => item.Lane).Count() == 5);
    }

    [Fact]
    public async Task Odd_places_favour_nobody_in_the_long_run()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(60, "a").Concat(Entries(60, "b")));
        var counts = new Dictionary<string, int>();
        for (var i = 0; i < 20; i++)
        {
            foreach (var item in await ClaimAsync(3))
            {
                counts[item.TenantId] = counts.GetValueOrDefault(item.TenantId) + 1;
            }
        }

        counts.Values.Order().ShouldBe([30, 30]);
    }

    [Fact]
    public async Task Many_lanes_all_come_to_their_turn()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Enumerable.Range(0, 120).SelectMany(lane => Entries(3, lane: $"lane-{lane}")));
        var first = new List<ClaimedItem>();
        while (first.Count < 120)
        {
            first.AddRange(await ClaimAsync(6));
        }

        first.DistinctBy(item => item.Lane).Count().ShouldBe(120);
        (await ClaimAsync(500)).Count.ShouldBe(240);
    }

    [Fact]
    public async Task Places_that_one_lane_does_not_need_go_to_others()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(1, lane: "a").Concat(Entries(50, lane: "b")).Concat(Entries(1, "other", "c")));
        (await ClaimAsync(20)).GroupBy(item => item.Lane).Select(lane => (lane.Key, lane.Count())).Order().ShouldBe([("a", 1), ("b", 18), ("c", 1)]);
    }

    [Fact]
    public async Task Claimers_that_race_never_share_an_item()
    {
        await RegisterAsync("w1", "w2", "w3", "w4");
        await EnqueueAsync(Entries(400, lane: "a").Concat(Entries(400, "other", "b")).Concat(Entries(200, lane: "c")));
        var claimed = await Task.WhenAll(new[] { "w1", "w2", "w3", "w4" }.Select(worker => Task.Run(() => DrainAsync(worker, 17))));
        claimed.SelectMany(items => items).Select(item => item.Id).Distinct().Count().ShouldBe(1000);
        claimed.Sum(items => items.Count).ShouldBe(1000);
        (await LinesAsync("SELECT DISTINCT state || lease_no FROM queue")).ShouldBe(["RUNNING1"]);

        async Task<List<ClaimedItem>> DrainAsync(string worker, int places)
        {
            var items = new List<ClaimedItem>();
            for (var empty = 0; empty < 3;)
            {
                var claim = await ClaimAsync(places, worker);
                items.AddRange(claim);
                empty = claim.Count == 0 ? empty + 1 : 0;
            }

            return items;
        }
    }

    [Fact]
    public async Task What_is_delayed_waits_for_its_time_and_the_claim_says_how_long()
    {
        await RegisterAsync("w1");
        var later = await EnqueueAsync(Entry() with { Delay = Hour });
        var at = await EnqueueAsync(Entry() with { RunAt = TimeProvider.System.GetUtcNow().AddHours(2) });
        var claim = await Queue.ClaimAsync(new ClaimRequest("w1", 10), default);
        claim.Items.ShouldBeEmpty();
        claim.NextDue!.Value.ShouldBeInRange(TimeSpan.FromMinutes(59), Hour);
        (await StatusesAsync()).ShouldBe(["PENDING", "PENDING"]);
        (await RecordAsync(at)).RunAt!.Value.ShouldBeInRange(TimeProvider.System.GetUtcNow().AddMinutes(119), TimeProvider.System.GetUtcNow().AddMinutes(121));
        (await Queue.DepthAsync("default", 100, default)).ShouldBe(new QueueDepth(0, 2, 0, null));
        await ExecuteAsync($"UPDATE queue SET run_at = {Past} WHERE state = 'DELAYED'");
        (await ClaimAsync()).Select(item => item.Id).Order().ShouldBe(new[] { later, at }.Order());
    }

    [Fact]
    public async Task A_short_delay_is_over_by_itself()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry() with { Delay = TimeSpan.FromMilliseconds(30) });
        (await ClaimWhenDueAsync()).ShouldHaveSingleItem().Id.ShouldBe(id);
    }

    [Fact]
    public async Task A_time_that_is_past_is_now_and_gives_no_advantage()
    {
        await RegisterAsync("w1");
        var first = await EnqueueAsync(Entry());
        await PassAsync();
        var second = await EnqueueAsync(Entry() with { RunAt = Rows.Start });
        (await ClaimAsync()).Select(item => item.Id).ShouldBe([first, second]);
    }

    [Fact]
    public async Task Nothing_known_to_come_is_no_time()
    {
        await RegisterAsync("w1");
        (await Queue.ClaimAsync(new ClaimRequest("w1", 10), default)).NextDue.ShouldBeNull();
    }

    [Fact]
    public async Task A_claim_holds_no_more_than_it_can_in_memory_and_gives_back_the_rest()
    {
        await RegisterAsync("w1");
        var large = new byte[20 << 20];
        await EnqueueAsync(Entries(5).Select(entry => entry with { Row = entry.Row with { Payload = large } }));
        var first = await ClaimAsync();
        first.Count.ShouldBeInRange(1, 4);
        (await StatusesAsync()).Count(status => status == "RUNNING").ShouldBe(first.Count);
        var rest = await ClaimAsync();
        rest.Count.ShouldBe(5 - first.Count);
        rest.ShouldAllBe(item => item.Attempt == 1);
    }

    /// <summary>Until the database's clock has moved on by a millisecond.</summary>
    private static async Task PassAsync()
    {
        var start = TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds();
        while (TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds() <= start)
        {
            await Task.Yield();
        }
    }
}
