using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    [Theory]
    [InlineData("COMPLETED")]
    [InlineData("FAILED")]
    [InlineData("CANCELLED")]
    public async Task What_is_finished_leaves_the_queue_and_its_record_tells_all(string status)
    {
        await RegisterAsync("w1");
        var entry = Entry() with { Row = Entry().Row with { FunctionId = "f-1", FunctionName = "hello", Version = "$LATEST" } };
        var id = await EnqueueAsync(entry);
        var item = await ClaimOneAsync();
        (await SettleAsync(Finished(item, status, """[{"number":1}]"""))).ShouldBeTrue();

        var row = await RecordAsync(id);
        var ended = Ended(item, status);
        (row with { Payload = null, Result = null, Log = null, Tags = ended.Tags }).ShouldBe(ended with
        {
            FunctionId = "f-1",
            FunctionName = "hello",
            Mode = "job",
            CreatedAt = DateTimeOffset.FromUnixTimeMilliseconds(entry.Row.CreatedAt.ToUnixTimeMilliseconds()),
            WorkJson = entry.WorkJson,
            AttemptsJson = """[{"number":1}]""",
            Attempts = 1,
            Payload = null,
            Result = null,
            Log = null,
        });
        row.Payload!.Value.ToArray().ShouldBe("[1]"u8.ToArray());
        row.Result!.Value.ToArray().ShouldBe("42"u8.ToArray());
        row.Log!.Value.ToArray().ShouldBe(ended.Log!.Value.ToArray());
        (await LinesAsync("SELECT lane FROM queue")).ShouldBeEmpty();
        (await ClaimAsync()).ShouldBeEmpty();
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task An_end_that_is_none_is_refused_before_anything_is_written()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(2));
        var items = await ClaimAsync();
        await Should.ThrowAsync<ArgumentException>(() => Queue.SettleAsync([Finished(items[0]), Finished(items[1], "PENDING")], default));
        await Should.ThrowAsync<ArgumentException>(() => Queue.SettleAsync([Finished(items[0]), Again(items[1], TimeSpan.FromTicks(-1))], default));
        await Should.ThrowAsync<ArgumentException>(() => Queue.SettleAsync([Finished(items[0]) with { Then = [Entry(lane: "")] }], default));
        (await StatusesAsync()).ShouldBe(["RUNNING", "RUNNING"]);
    }

    [Fact]
    public async Task A_payload_that_is_not_to_be_kept_is_gone()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry() with { Source = "code"u8.ToArray() });
        (await SettleAsync(Finished(await ClaimOneAsync()) with { KeepPayload = false })).ShouldBeTrue();
        (await RecordAsync(id)).Payload.ShouldBeNull();
        var work = (await Queue.WorkAsync("default", id, default)).ShouldNotBeNull();
        work.Payload.ShouldBeNull();
        work.Source.ShouldNotBeNull();
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Settlements_are_answered_in_order_and_those_without_a_lease_write_nothing()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(5));
        var items = await ClaimAsync();
        var none = items[3] with { Id = Guid.CreateVersion7().ToString("D") };
        (await Queue.SettleAsync(
            [Finished(items[0]), Finished(items[1]) with { LeaseNo = 2 }, Again(items[2]), GiveBack(none), GiveBack(items[3]), Finished(items[0], "FAILED"), Finished(items[4] with { TenantId = "other" })],
            default)).ShouldBe([true, false, true, false, true, false, false]);
        (await StatusesAsync()).ShouldBe(["COMPLETED", "RUNNING", "PENDING", "PENDING", "RUNNING"]);
    }

    [Fact]
    public async Task A_lost_lease_settles_nothing_also_when_the_same_worker_has_the_item_again()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry());
        var first = await ClaimOneAsync();
        (await SettleAsync(Again(first))).ShouldBeTrue();
        (await SettleAsync(Finished(first))).ShouldBeFalse();
        var second = await ClaimOneAsync();
        second.LeaseNo.ShouldBe(2);
        (await SettleAsync(Finished(first, "FAILED"))).ShouldBeFalse();
        (await SettleAsync(Again(first))).ShouldBeFalse();
        (await SettleAsync(GiveBack(first))).ShouldBeFalse();
        (await RecordAsync(id)).Status.ShouldBe("RUNNING");
        (await SettleAsync(Finished(second))).ShouldBeTrue();
        (await SettleAsync(Finished(second, "FAILED"))).ShouldBeFalse();
        var row = await RecordAsync(id);
        (row.Status, row.Attempts).ShouldBe(("COMPLETED", 2));
    }

    [Fact]
    public async Task A_retry_waits_and_keeps_what_the_attempts_were()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry());
        (await SettleAsync(Again(await ClaimOneAsync(), Hour, attempts: """[{"number":1}]"""))).ShouldBeTrue();
        (await ClaimAsync()).ShouldBeEmpty();
        var row = await RecordAsync(id);
        (row.Status, row.Attempts, row.AttemptsJson, row.WorkerId, row.StartedAt).ShouldBe(("PENDING", 1, """[{"number":1}]""", null, null));
        row.RunAt!.Value.ShouldBeGreaterThan(TimeProvider.System.GetUtcNow().AddMinutes(59));

        await ExecuteAsync($"UPDATE queue SET run_at = {Past}");
        var second = await ClaimOneAsync();
        (second.Attempt, second.LeaseNo, second.Losses, second.AttemptsJson).ShouldBe((2, 2, 0, """[{"number":1}]"""));
        (await SettleAsync(Again(second))).ShouldBeTrue();
        var third = await ClaimOneAsync();
        (third.Attempt, third.AttemptsJson).ShouldBe((3, """[{"number":1}]"""));
        (await SettleAsync(Finished(third, "FAILED", """[{"number":3}]"""))).ShouldBeTrue();
        row = await RecordAsync(id);
        (row.Attempts, row.AttemptsJson).ShouldBe((3, """[{"number":3}]"""));
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task A_retry_that_does_not_count_gives_the_attempt_back_but_never_the_lease()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entry());
        (await SettleAsync(Again(await ClaimOneAsync(), counts: false))).ShouldBeTrue();
        var second = await ClaimOneAsync();
        (second.Attempt, second.LeaseNo).ShouldBe((1, 2));
        (await SettleAsync(GiveBack(second))).ShouldBeTrue();
        (await RecordAsync(second.Id)).Attempts.ShouldBe(0);
        var third = await ClaimOneAsync();
        (third.Attempt, third.LeaseNo).ShouldBe((1, 3));
    }

    [Fact]
    public async Task What_is_released_is_where_it_was()
    {
        await RegisterAsync("w1");
        var entries = Entries(6);
        await EnqueueAsync(entries);
        var items = await ClaimAsync(4);
        (await Queue.SettleAsync([GiveBack(items[2]), GiveBack(items[0])], default)).ShouldBe([true, true]);
        (await ClaimAsync(4)).Select(item => item.Id).ShouldBe(new[] { 0, 2, 4, 5 }.Select(i => entries[i].Row.Id));
    }

    [Fact]
    public async Task What_follows_and_dead_letters_are_written_with_the_end()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry() with { Row = Entry().Row with { FunctionId = "f-1", FunctionName = "hello" } });
        var item = await ClaimOneAsync();
        var follow = Entry(lane: "deliveries", mode: "delivery");
        var late = Entry();
        (await SettleAsync(Finished(item, "FAILED") with { Then = [follow, Entry(lane: "b")], DeadLetterList = "poison" })).ShouldBeTrue();
        (await SettleAsync(Finished(item, "FAILED") with { Then = [late], DeadLetterList = "late" })).ShouldBeFalse();
        (await LinesAsync("SELECT list || ' ' || function_name || ' ' || error_type FROM dead_letters")).ShouldBe(["poison hello Unhandled"]);
        (await Store.Invocations.GetAsync("default", late.Row.Id, default)).ShouldBeNull();
        (await ClaimAsync()).Select(claimed => claimed.Lane).Order().ShouldBe(["b", "deliveries"]);
        (await RecordAsync(id)).Status.ShouldBe("FAILED");
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task A_result_may_be_without_anything()
    {
        await RegisterAsync("w1");
        var id = await EnqueueAsync(Entry());
        var item = await ClaimOneAsync();
        var bare = Ended(item) with { Result = null, Log = null, LogDroppedBytes = 0, LogDroppedLines = 0, StartedAt = null, DurationMs = null, ColdStart = null, Version = "" };
        (await SettleAsync(new Settlement.Finished(item.LeaseNo, bare, null))).ShouldBeTrue();
        var row = await RecordAsync(id);
        (row.Status, row.Result, row.Log, row.ColdStart, row.Version).ShouldBe(("COMPLETED", null, null, null, ""));
        (await SettleAsync(GiveBack(item))).ShouldBeFalse();
    }

    [Fact]
    public async Task Settlers_that_race_for_one_lease_finish_it_once()
    {
        await RegisterAsync("w1");
        await EnqueueAsync(Entries(50));
        var items = await ClaimAsync(50);
        var held = await Task.WhenAll(Enumerable.Range(0, 4).Select(i => Task.Run(() => Queue.SettleAsync(
            [.. items.OrderBy(item => (item.Id, i).GetHashCode()).Select(item => Finished(item) with { Then = [Entry(lane: "then")] })], default))));
        held.SelectMany(all => all).Count(done => done).ShouldBe(50);
        (await Queue.LaneAsync("default", "then", default)).Waiting.ShouldBe(50);
    }
}
