using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    [Fact]
    public async Task Workers_are_listed_by_name_as_they_last_told()
    {
        await Queue.RegisterAsync(Worker("b") with { Places = 4, Draining = true }, Hour, default);
        await Queue.RegisterAsync(Worker("a"), Hour, default);
        var told = Worker("b") with { Name = "z", Places = 8, Running = 3, Draining = true, DetailsJson = """{"load":0.5}""" };
        (await Queue.RenewAsync(told, Hour * 2, default)).ShouldSatisfyAllConditions(
            renewal => renewal.Held.ShouldBeTrue(), renewal => renewal.Items.ShouldBeEmpty(), renewal => renewal.DrainAsked.ShouldBeTrue());
        var rows = await Queue.WorkersAsync(default);
        rows.Select(row => row.Info).ShouldBe([Worker("a"), told]);
        rows.Select(row => row.DrainAsked).ShouldBe([false, true]);
        rows[1].LeaseLeft.ShouldBeInRange(TimeSpan.FromMinutes(119), TimeSpan.FromHours(2));
        rows[0].LeaseLeft.ShouldBeInRange(TimeSpan.FromMinutes(59), Hour);
        rows.ShouldAllBe(row => row.SeenAt >= row.StartedAt);
        await EndLeaseAsync("a");
        (await Queue.WorkersAsync(default))[0].LeaseLeft.ShouldBeLessThan(TimeSpan.Zero);
    }

    [Fact]
    public async Task A_lease_that_is_over_or_gone_is_not_renewed()
    {
        (await Queue.RenewAsync(Worker(), Hour, default)).Held.ShouldBeFalse();
        await RegisterAsync("w1");
        await EnqueueAsync(Entry());
        await ClaimOneAsync();
        (await Queue.RenewAsync(Worker(), Hour, default)).Held.ShouldBeTrue();
        await EndLeaseAsync("w1");
        var renewal = await Queue.RenewAsync(Worker(), Hour, default);
        (renewal.Held, renewal.Items.Count).ShouldBe((false, 0));
        (await Queue.RescueAsync(3, all: false, null, default)).Requeued.Count.ShouldBe(1);
        (await Queue.WorkersAsync(default)).ShouldBeEmpty();
        (await Queue.RenewAsync(Worker(), Hour, default)).Held.ShouldBeFalse();
    }

    [Fact]
    public async Task A_short_lease_ends_by_itself()
    {
        await Queue.RegisterAsync(Worker(), TimeSpan.FromMilliseconds(30), default);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while ((await Queue.ClaimAsync(new ClaimRequest("w1", 1), limit.Token)).LeaseHeld)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(5), limit.Token);
        }

        (await Queue.RenewAsync(Worker(), Hour, default)).Held.ShouldBeFalse();
    }

    [Fact]
    public async Task A_renewal_tells_what_is_leased_and_no_others()
    {
        await RegisterAsync("w1", "w2");
        await EnqueueAsync(Entries(4).Append(Entry("other")));
        var items = (await ClaimAsync(3)).ToList();
        var theirs = await ClaimAsync(10, "w2");
        (await Queue.SettleAsync([Finished(items[0]), Again(items[1])], default)).ShouldBe([true, true]);
        (await Queue.RenewAsync(Worker(), Hour, default)).Items.ShouldBe([new LeasedItem(items[2].TenantId, items[2].Id, 1)]);
        (await Queue.RenewAsync(Worker("w2"), Hour, default)).Items.OrderBy(item => item.Id, StringComparer.Ordinal)
            .ShouldBe(theirs.Select(item => new LeasedItem(item.TenantId, item.Id, 1)).OrderBy(item => item.Id, StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_worker_is_asked_to_drain_until_it_is_asked_to_work()
    {
        (await Queue.AskDrainAsync("w1", true, default)).ShouldBeFalse();
        await RegisterAsync("w1");
        (await Queue.RenewAsync(Worker(), Hour, default)).DrainAsked.ShouldBeFalse();
        (await Queue.AskDrainAsync("w1", true, default)).ShouldBeTrue();
        (await Queue.RenewAsync(Worker(), Hour, default)).DrainAsked.ShouldBeTrue();
        (await Queue.RenewAsync(Worker() with { Draining = true }, Hour, default)).DrainAsked.ShouldBeTrue();
        (await Queue.AskDrainAsync("w1", false, default)).ShouldBeTrue();
        (await Queue.RenewAsync(Worker() with { Draining = true }, Hour, default)).DrainAsked.ShouldBeFalse();
        await EndLeaseAsync("w1");
        (await Queue.AskDrainAsync("w1", true, default)).ShouldBeFalse();
    }

    [Fact]
    public async Task A_worker_that_leaves_gives_back_all_that_it_has()
    {
        await RegisterAsync("w1", "w2");
        await EnqueueAsync(Entries(4));
        var items = await ClaimAsync(3);
        await ClaimOneAsync("w2");
        (await SettleAsync(Finished(items[0]))).ShouldBeTrue();
        await Queue.LeaveAsync("w1", default);
        await Queue.LeaveAsync("nobody", default);
        (await StatusesAsync()).ShouldBe(["COMPLETED", "PENDING", "PENDING", "RUNNING"]);
        (await Queue.WorkersAsync(default)).ShouldHaveSingleItem().Info.Id.ShouldBe("w2");
        (await SettleAsync(Finished(items[1]))).ShouldBeFalse();
        var again = await ClaimAsync(10, "w2");
        again.Select(item => (item.Id, item.Attempt, item.Losses, item.LeaseNo)).ShouldBe([(items[1].Id, 1, 0, 2), (items[2].Id, 1, 0, 2)]);
    }

    [Fact]
    public async Task Only_leases_that_are_over_are_rescued_and_each_counts_a_loss()
    {
        await RegisterAsync("w1", "w2");
        await EnqueueAsync(Entries(3));
        var lost = await ClaimAsync(2);
        await ClaimOneAsync("w2");
        (await Queue.RescueAsync(3, all: false, null, default)).ShouldSatisfyAllConditions(
            rescue => rescue.Requeued.ShouldBeEmpty(), rescue => rescue.Lost.ShouldBeEmpty());
        await EndLeaseAsync("w1");
        var rescue = await Queue.RescueAsync(3, all: false, null, default);
        rescue.Requeued.Order().ShouldBe(lost.Select(item => item.Id).Order());
        rescue.Lost.ShouldBeEmpty();
        (await SettleAsync(Finished(lost[0]))).ShouldBeFalse();
        (await StatusesAsync()).ShouldBe(["PENDING", "PENDING", "RUNNING"]);
        (await Queue.WorkersAsync(default)).ShouldHaveSingleItem().Info.Id.ShouldBe("w2");
        var again = await ClaimAsync(10, "w2");
        again.Select(item => (item.Id, item.Attempt, item.Losses, item.LeaseNo)).ShouldBe(lost.Select(item => (item.Id, 2, 1, 2L)));
        (await Queue.RescueAsync(3, all: false, null, default)).Requeued.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_third_loss_ends_as_SandboxLost()
    {
        var id = await EnqueueAsync(Entry());
        for (var loss = 1; loss <= 3; loss++)
        {
            await RegisterAsync($"w{loss}");
            var item = await ClaimOneAsync($"w{loss}");
            (item.Attempt, item.Losses).ShouldBe((loss, loss - 1));
            await EndLeaseAsync($"w{loss}");
            var rescue = await Queue.RescueAsync(3, all: false, null, default);
            (rescue.Requeued.Count, rescue.Lost.Count).ShouldBe(loss < 3 ? (1, 0) : (0, 1));
        }

        var row = await RecordAsync(id);
        (row.Status, row.ErrorType, row.Attempts, row.WorkerId).ShouldBe(("FAILED", "SandboxLost", 3, null));
        row.ErrorJson!.ShouldContain("\"type\":\"SandboxLost\"");
        row.StartedAt.ShouldNotBeNull();
        row.CompletedAt.ShouldNotBeNull();
        await RegisterAsync("w9");
        (await ClaimAsync(10, "w9")).ShouldBeEmpty();
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Items_of_a_worker_that_nobody_knows_are_rescued()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry());
        await ClaimOneAsync();
        await ExecuteAsync("DELETE FROM workers");
        (await Queue.RescueAsync(3, all: false, null, default)).Requeued.ShouldBe([id]);
    }

    [Fact]
    public async Task At_a_start_all_leases_are_void_but_one()
    {
        await RegisterAsync("w1", "w2");
        await EnqueueAsync(Entries(2));
        var first = await ClaimAsync(1);
        await ClaimAsync(1, "w2");
        (await Queue.RescueAsync(3, all: true, "w2", default)).Requeued.ShouldBe([first[0].Id]);
        (await Queue.WorkersAsync(default)).ShouldHaveSingleItem().Info.Id.ShouldBe("w2");
        (await Queue.RescueAsync(3, all: true, null, default)).Requeued.Count.ShouldBe(1);
        (await Queue.WorkersAsync(default)).ShouldBeEmpty();
    }

    [Fact]
    public async Task Rescuers_that_race_count_each_loss_once()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(30));
        await ClaimAsync(30);
        await EndLeaseAsync("w1");
        var rescues = await Task.WhenAll(Enumerable.Range(0, 6).Select(_ => Task.Run(() => Queue.RescueAsync(3, all: false, null, default))));
        rescues.Sum(rescue => rescue.Requeued.Count).ShouldBe(30);
        await RegisterAsync("w2");
        (await ClaimAsync(100, "w2")).ShouldAllBe(item => item.Losses == 1);
    }

    [Fact]
    public async Task The_queue_survives_a_restart()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(3));
        var item = (await ClaimAsync(1))[0];
        await ReopenAsync();
        (await StatusesAsync()).ShouldBe(["RUNNING", "PENDING", "PENDING"]);
        (await SettleAsync(Finished(item))).ShouldBeTrue();
        (await ClaimAsync()).Count.ShouldBe(2);
    }
}
