using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    [Fact]
    public async Task What_waits_is_cancelled_and_never_claimed()
    {
        await RegisterAsync("w1");
        var waiting = await EnqueueAsync(Entry());
        var delayed = await EnqueueAsync(Entry() with { Delay = Hour });
        (await Queue.CancelAsync("default", waiting, default)).ShouldBe("");
        (await Queue.CancelAsync("default", delayed, default)).ShouldBe("");
        (await Queue.CancelAsync("default", waiting, default)).ShouldBeNull();
        (await ClaimAsync()).ShouldBeEmpty();
        var row = await RecordAsync(waiting);
        (row.Status, row.ErrorType, row.Attempts, row.StartedAt).ShouldBe(("CANCELLED", "Cancelled", 0, null));
        row.CompletedAt.ShouldNotBeNull();
        row.ErrorJson!.ShouldContain("\"type\":\"Cancelled\"");
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task What_runs_is_cancelled_and_its_late_result_is_dropped()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry());
        var item = await ClaimOneAsync();
        (await Queue.RenewAsync(Worker(), Hour, default)).Items.ShouldBe([new LeasedItem("default", id, 1)]);
        (await Queue.CancelAsync("default", id, default)).ShouldBe("w1");
        (await Queue.RenewAsync(Worker(), Hour, default)).Items.ShouldBeEmpty();
        (await SettleAsync(Finished(item) with { Then = [Entry()], DeadLetterList = "d" })).ShouldBeFalse();
        (await SettleAsync(Again(item, attempts: "[]"))).ShouldBeFalse();
        var row = await RecordAsync(id);
        (row.Status, row.Attempts, row.Result).ShouldBe(("CANCELLED", 1, null));
        row.StartedAt.ShouldBe(DateTimeOffset.FromUnixTimeMilliseconds(item.ClaimedAt.ToUnixTimeMilliseconds()));
        (await StatusesAsync()).Count.ShouldBe(1);
        (await LinesAsync("SELECT list FROM dead_letters")).ShouldBeEmpty();
    }

    [Fact]
    public async Task What_is_not_there_is_not_cancelled()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry());
        (await Queue.CancelAsync("other", id, default)).ShouldBeNull();
        (await Queue.CancelAsync("default", "no id", default)).ShouldBeNull();
        (await Queue.CancelAsync("default", Guid.CreateVersion7().ToString("D"), default)).ShouldBeNull();
        (await SettleAsync(Finished(await ClaimOneAsync()))).ShouldBeTrue();
        (await Queue.CancelAsync("default", id, default)).ShouldBeNull();
        (await RecordAsync(id)).Status.ShouldBe("COMPLETED");
    }

    [Fact]
    public async Task Cancelling_and_finishing_at_once_end_it_once()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(40));
        var items = await ClaimAsync(40);
        var cancels = items.Select(item => Task.Run(() => Queue.CancelAsync("default", item.Id, default))).ToList();
        var settled = await Task.WhenAll(items.Reverse().Select(item => Task.Run(() => SettleAsync(Finished(item)))));
        var cancelled = await Task.WhenAll(cancels);
        (settled.Count(done => done) + cancelled.Count(worker => worker is not null)).ShouldBe(40);
        (await StatusesAsync()).Count(status => status == "CANCELLED").ShouldBe(cancelled.Count(worker => worker is not null));
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task What_waits_beyond_its_time_to_live_expires()
    {
        await RegisterAsync("w1");
        var entries = Entries(4).ConvertAll(entry => entry with { TimeToLive = Hour });
        await EnqueueAsync(entries);
        await EnqueueAsync(Entry());
        var delayed = await EnqueueAsync(Entry() with { TimeToLive = Hour, Delay = TimeSpan.FromDays(1) });
        (await Queue.ExpireAsync(10, default)).ShouldBeEmpty();
        var running = (await ClaimAsync(1))[0];
        await ExecuteAsync($"UPDATE queue SET expires_at = {Past} WHERE expires_at IS NOT NULL");
        (await Queue.ExpireAsync(2, default)).Count.ShouldBe(2);
        (await Queue.ExpireAsync(10, default)).Count.ShouldBe(2);
        (await StatusesAsync()).ShouldBe(["RUNNING", "FAILED", "FAILED", "FAILED", "PENDING", "FAILED"]);
        var row = await RecordAsync(delayed);
        (row.Status, row.ErrorType, row.Attempts).ShouldBe(("FAILED", "Expired", 0));
        row.ErrorJson!.ShouldContain("\"type\":\"Expired\"");
        running.Expired.ShouldBeFalse();
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task A_claim_tells_what_expired_before_it_began()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entry() with { TimeToLive = Hour });
        await ExecuteAsync($"UPDATE queue SET expires_at = {Past}");
        var item = await ClaimOneAsync();
        item.Expired.ShouldBeTrue();
        (await SettleAsync(Finished(item, "FAILED"))).ShouldBeTrue();
    }

    [Fact]
    public async Task What_began_once_does_not_expire_any_more()
    {
        await RegisterAsync("w1", "w2");
        var retried = await EnqueueAsync(Entry() with { TimeToLive = Hour });
        (await SettleAsync(Again(await ClaimOneAsync(), Hour))).ShouldBeTrue();
        var lost = await EnqueueAsync(Entry() with { TimeToLive = Hour });
        await ClaimOneAsync("w2");
        await EndLeaseAsync("w2");
        (await Queue.RescueAsync(3, all: false, null, default)).Requeued.ShouldBe([lost]);
        var released = await EnqueueAsync(Entry(lane: "b") with { TimeToLive = Hour });
        foreach (var item in (await ClaimAsync()).Where(item => item.Id == released))
        {
            (await SettleAsync(Again(item, counts: false))).ShouldBeTrue();
        }

        await ExecuteAsync($"UPDATE queue SET expires_at = {Past} WHERE expires_at IS NOT NULL");
        (await Queue.ExpireAsync(10, default)).ShouldBe([released]);
        (await RecordAsync(retried)).Status.ShouldBe("PENDING");
    }
}
