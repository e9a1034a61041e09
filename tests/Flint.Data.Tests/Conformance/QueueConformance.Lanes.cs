using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    private static readonly LaneLimits None = new(null, null);

    [Fact]
    public async Task A_lane_tells_its_pause_its_limits_and_its_load()
    {
        await RegisterAsync("w1");
        (await Queue.LaneAsync("default", "a", default)).ShouldBe(new LaneView(false, None, 0, 0));
        await EnqueueAsync(Entries(3, lane: "a").Concat(Entries(2, lane: "b")).Append(Entry("other", "a")));
        await EnqueueAsync(Entry(lane: "a") with { Delay = Hour });
        await ClaimAsync(3);
        (await Queue.LaneAsync("default", "a", default)).ShouldSatisfyAllConditions(
            lane => (lane.Waiting + lane.Running).ShouldBe(3), lane => lane.Running.ShouldBeInRange(1, 2));
        var limits = new LaneLimits(4, new LaneRate(5, TimeSpan.FromMilliseconds(1500)));
        await Queue.SetLaneAsync("default", "a", null, limits, default);
        (await Queue.LaneAsync("default", "a", default)).ShouldSatisfyAllConditions(lane => lane.Limits.ShouldBe(limits), lane => lane.Paused.ShouldBeFalse());
        await Queue.SetLaneAsync("default", "a", true, null, default);
        (await Queue.LaneAsync("default", "a", default)).ShouldSatisfyAllConditions(lane => lane.Limits.ShouldBe(limits), lane => lane.Paused.ShouldBeTrue());
        await Queue.SetLaneAsync("default", "a", false, None, default);
        (await Queue.LaneAsync("default", "a", default)).ShouldSatisfyAllConditions(lane => lane.Limits.ShouldBe(None), lane => lane.Paused.ShouldBeFalse());
        (await Queue.LaneAsync("other", "a", default)).Limits.ShouldBe(None);
        await Should.ThrowAsync<ArgumentException>(() => Queue.SetLaneAsync("default", "a", null, new(0, null), default));
    }

    [Fact]
    public async Task A_paused_lane_waits_and_the_others_do_not()
    {
        await RegisterAsync("w1");
        await Queue.SetLaneAsync("default", "a", true, null, default);
        await EnqueueAsync(Entries(5, lane: "a").Concat(Entries(5, lane: "b")));
        (await ClaimAsync(20)).Select(item => item.Lane).Distinct().ShouldBe(["b"]);
        await Queue.SetLaneAsync("default", "a", false, null, default);
        (await ClaimAsync(20)).Count(item => item.Lane == "a").ShouldBe(5);
    }

    [Fact]
    public async Task A_pause_does_not_stop_what_runs()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entry(lane: "a"));
        var item = await ClaimOneAsync();
        await Queue.SetLaneAsync("default", "a", true, null, default);
        (await SettleAsync(Finished(item))).ShouldBeTrue();
    }

    [Fact]
    public async Task Lanes_that_may_not_run_do_not_hide_one_that_may()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Enumerable.Range(0, 600).Select(i => Entry(lane: $"a{i:000}")).Append(Entry(lane: "z")));
        await ExecuteAsync($"INSERT INTO lanes (tenant_id, lane, paused, used_at) SELECT tenant_id, lane, TRUE, {Past} FROM queue WHERE lane <> 'z'");
        var claims = new List<ClaimResult>();
        do
        {
            claims.Add(await Queue.ClaimAsync(new ClaimRequest("w1", 5), default));
            claims.Count.ShouldBeLessThan(20);
        }
        while (claims[^1] is { Items.Count: 0, NextDue: not null });

        claims[^1].Items.ShouldHaveSingleItem().Lane.ShouldBe("z");
    }

    [Fact]
    public async Task A_lane_runs_no_more_than_its_limit_on_all_workers_together()
    {
        var workers = new[] { "w1", "w2", "w3", "w4" };
        await RegisterAsync(workers);
        var limit = new LaneLimits(3, null);
        await EnqueueAsync(Entries(40, lane: "a").Select(entry => entry with { Limits = limit }));
        var done = 0;
        while (done < 40)
        {
            var claims = await Task.WhenAll(workers.Select(worker => Task.Run(() => ClaimAsync(10, worker))));
            var items = claims.SelectMany(claim => claim).ToList();
            items.Count.ShouldBe(Math.Min(3, 40 - done));
            (await Queue.LaneAsync("default", "a", default)).Running.ShouldBe(items.Count);
            (await Queue.SettleAsync([.. items.Select(item => Finished(item))], default)).ShouldAllBe(held => held);
            done += items.Count;
        }
    }

    [Fact]
    public async Task A_limit_counts_what_was_claimed_before_it_was_set()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(4, lane: "a"));
        var items = await ClaimAsync(2);
        await EnqueueAsync(Entry(lane: "a") with { Limits = new(3, null) });
        items = [.. items, .. await ClaimAsync()];
        items.Count.ShouldBe(3);
        await Queue.SetLaneAsync("default", "a", null, new(2, null), default);
        (await SettleAsync(Finished(items[0]))).ShouldBeTrue();
        (await ClaimAsync()).ShouldBeEmpty();
        (await SettleAsync(Again(items[1], Hour))).ShouldBeTrue();
        (await ClaimAsync()).Count.ShouldBe(1);
        await Queue.SetLaneAsync("default", "a", null, None, default);
        (await ClaimAsync()).Count.ShouldBe(1);
    }

    [Fact]
    public async Task Every_way_out_makes_room_in_a_limited_lane()
    {
        await RegisterAsync("w1", "w2", "w3");
        await EnqueueAsync(Entries(20, lane: "a").Select(entry => entry with { Limits = new(1, null) }));
        var item = await ClaimOneAsync();
        (await ClaimAsync()).ShouldBeEmpty();
        (await SettleAsync(GiveBack(item))).ShouldBeTrue();
        item = await ClaimOneAsync();
        (await SettleAsync(Again(item, Hour))).ShouldBeTrue();
        item = await ClaimOneAsync();
        await Queue.CancelAsync("default", item.Id, default);
        item = await ClaimOneAsync();
        await Queue.LeaveAsync("w1", default);
        item = await ClaimOneAsync("w2");
        await EndLeaseAsync("w2");
        await Queue.RescueAsync(3, all: false, null, default);
        item = await ClaimOneAsync("w3");
        await EndLeaseAsync("w3");
        await Queue.RescueAsync(1, all: false, null, default);
        await RegisterAsync("w4");
        await ClaimOneAsync("w4");
        (await ClaimAsync(10, "w4")).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_rate_lets_its_starts_through_and_then_says_when_the_next_is()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(10, lane: "a").Select(entry => entry with { Limits = new(null, new(4, Hour)) }));
        await EnqueueAsync(Entry(lane: "b"));
        (await ClaimAsync(3)).Count(item => item.Lane == "a").ShouldBeInRange(2, 3);
        var claim = await Queue.ClaimAsync(new ClaimRequest("w1", 10), default);
        (await LinesAsync("SELECT lane FROM queue WHERE state = 'RUNNING' AND lane = 'a'")).Count.ShouldBe(4);
        claim.NextDue!.Value.ShouldBeInRange(TimeSpan.FromMinutes(14), TimeSpan.FromMinutes(15));
        claim = await Queue.ClaimAsync(new ClaimRequest("w1", 10), default);
        claim.Items.ShouldBeEmpty();
        claim.NextDue!.Value.ShouldBeInRange(TimeSpan.FromMinutes(14), TimeSpan.FromMinutes(15));
        await ExecuteAsync($"UPDATE lanes SET rate_next = {Past}");
        (await ClaimAsync()).Count.ShouldBe(4);
    }

    [Fact]
    public async Task A_rate_counts_retries_and_holds_between_workers()
    {
        var workers = new[] { "w1", "w2", "w3" };
        await RegisterAsync(workers);
        await EnqueueAsync(Entries(30, lane: "a").Select(entry => entry with { Limits = new(null, new(5, Hour)) }));
        var claims = await Task.WhenAll(workers.Select(worker => Task.Run(() => ClaimAsync(4, worker))));
        claims.Sum(claim => claim.Count).ShouldBe(5);
        (await Queue.SettleAsync([.. claims.SelectMany(claim => claim).Select(item => Again(item))], default)).ShouldAllBe(held => held);
        (await ClaimAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_short_rate_refills_by_itself()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(3, lane: "a").Select(entry => entry with { Limits = new(null, new(1, TimeSpan.FromMilliseconds(20))) }));
        for (var i = 0; i < 3; i++)
        {
            (await ClaimWhenDueAsync()).Count.ShouldBe(1);
        }
    }

    [Fact]
    public async Task Limits_stay_when_an_entry_brings_none_and_go_when_it_brings_that_there_are_none()
    {
        await EnqueueAsync(Entry(lane: "a") with { Limits = new(1, null) });
        await EnqueueAsync(Entry(lane: "a"));
        (await Queue.LaneAsync("default", "a", default)).Limits.ShouldBe(new LaneLimits(1, null));
        await EnqueueAsync(Entry(lane: "a") with { Limits = new(null, new(2, Hour)) });
        (await Queue.LaneAsync("default", "a", default)).Limits.ShouldBe(new LaneLimits(null, new(2, Hour)));
        await EnqueueAsync(Entry(lane: "a") with { Limits = None });
        (await Queue.LaneAsync("default", "a", default)).Limits.ShouldBe(None);
    }

    [Fact]
    public async Task Lanes_are_tidied_when_unused_empty_and_not_paused()
    {
        await RegisterAsync("w1");
        var limits = new LaneLimits(1, null);
        await EnqueueAsync(Entry(lane: "ready") with { Limits = limits });
        await EnqueueAsync(Entry(lane: "delayed") with { Limits = limits, Delay = Hour });
        foreach (var lane in new[] { "done", "recent", "paused" })
        {
            await Queue.SetLaneAsync("default", lane, lane == "paused", limits, default);
        }

        await EnqueueAsync(Entry("other", "running") with { Limits = limits });
        (await ClaimAsync(2)).Count.ShouldBe(2);
        (await Queue.TidyAsync(Hour, default)).ShouldBe(0);
        await ExecuteAsync($"UPDATE lanes SET used_at = {Past} WHERE lane <> 'recent'");
        (await Queue.TidyAsync(Hour, default)).ShouldBe(1);
        (await LinesAsync("SELECT lane FROM lanes ORDER BY lane")).ShouldBe(["delayed", "paused", "ready", "recent", "running"]);
    }
}
