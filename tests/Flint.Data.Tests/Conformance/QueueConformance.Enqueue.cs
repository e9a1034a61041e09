using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    public static TheoryData<string> BadEntries() => ["status", "id", "lane", "long lane", "priority", "delay", "life", "key", "long key", "fingerprint", "tags", "long tag", "running", "starts", "period"];

    [Fact]
    public async Task What_is_enqueued_is_read_as_pending_with_all_that_came_with_it()
    {
        var entry = Entry() with
        {
            WorkJson = """{"job":{"runtime":"nodejs20"}}""",
            Source = "exports.main = 1"u8.ToArray(),
            Tags = ["b", "a"],
            Row = Entry().Row with { FunctionId = "f-1", FunctionName = "hello", Version = "$LATEST", Qualifier = "live", Engine = "native" },
        };
        var id = await EnqueueAsync(entry);
        var row = await RecordAsync(id);
        row.Status.ShouldBe("PENDING");
        row.Attempts.ShouldBe(0);
        row.StartedAt.ShouldBeNull();
        row.WorkerId.ShouldBeNull();
        row.RunAt.ShouldNotBeNull();
        row.Mode.ShouldBe("job");
        (row.FunctionId, row.FunctionName, row.Version, row.Qualifier, row.Engine, row.MemoryMb).ShouldBe(("f-1", "hello", "$LATEST", "live", "native", 128));
        row.CreatedAt.ToUnixTimeMilliseconds().ShouldBe(entry.Row.CreatedAt.ToUnixTimeMilliseconds());
        row.Payload!.Value.ToArray().ShouldBe("[1]"u8.ToArray());
        row.WorkJson.ShouldBe(entry.WorkJson);
        row.Tags.ShouldBe(["b", "a"]);

        var listed = (await Store.Invocations.ListAsync(new() { TenantId = "default" }, default)).Rows.ShouldHaveSingleItem();
        (listed.WorkJson, listed.Status, listed.Attempts, listed.Payload).ShouldBe((entry.WorkJson, "PENDING", 0, null));
        listed.Tags.ShouldBe(["b", "a"]);

        var work = (await Queue.WorkAsync("default", id, default)).ShouldNotBeNull();
        (work.WorkJson, work.AttemptsJson).ShouldBe((entry.WorkJson, null));
        work.Payload!.Value.ToArray().ShouldBe("[1]"u8.ToArray());
        work.Source!.Value.ToArray().ShouldBe(entry.Source.Value.ToArray());
        work.Tags.ShouldBe(["b", "a"]);
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task What_was_never_queued_has_no_work()
    {
        var row = Rows.Invocation();
        await Store.Invocations.AppendAsync([row], default);
        (await Queue.WorkAsync("default", row.Id, default)).ShouldBeNull();
        (await Queue.WorkAsync("default", "no id", default)).ShouldBeNull();
        (await Store.Invocations.GetAsync("default", row.Id, default))!.Attempts.ShouldBe(1);
    }

    [Fact]
    public async Task The_same_id_again_changes_nothing_whatever_became_of_it()
    {
        await RegisterAsync("w1");
        var entry = Entry() with { Tags = ["a"] };
        var again = entry with { WorkJson = "{}", Lane = "other", Tags = ["b"] };
        (await Queue.EnqueueAsync([entry, again, entry], default)).ShouldAllBe(result => result == new EnqueueResult(EnqueueOutcome.Added, entry.Row.Id));
        await EnqueueAsync(again);
        var item = await ClaimOneAsync();
        (item.Lane, item.WorkJson).ShouldBe(("jobs", entry.WorkJson));
        item.Tags.ShouldBe(["a"]);
        await EnqueueAsync(again);
        (await ClaimAsync()).ShouldBeEmpty();
        (await SettleAsync(Finished(item))).ShouldBeTrue();
        await EnqueueAsync(entry);
        (await ClaimAsync()).ShouldBeEmpty();
        (await RecordAsync(item.Id)).Status.ShouldBe("COMPLETED");
        await TotalsAreRightAsync();
    }

    [Theory]
    [MemberData(nameof(BadEntries))]
    public async Task A_bad_entry_is_refused_before_anything_is_written(string what)
    {
        var entry = Entry();
        var bad = what switch
        {
            "status" => entry with { Row = entry.Row with { Status = "RUNNING" } },
            "id" => entry with { Row = entry.Row with { Id = "7" } },
            "lane" => entry with { Lane = "" },
            "long lane" => entry with { Lane = new string('x', 301) },
            "priority" => entry with { Priority = 101 },
            "delay" => entry with { Delay = TimeSpan.FromTicks(-1) },
            "life" => entry with { TimeToLive = TimeSpan.Zero },
            "key" => entry with { IdempotencyKey = "", Fingerprint = [1] },
            "long key" => entry with { IdempotencyKey = new string('x', 256), Fingerprint = [1] },
            "fingerprint" => entry with { IdempotencyKey = "k" },
            "tags" => entry with { Tags = [.. Enumerable.Range(0, 21).Select(i => $"{i}")] },
            "long tag" => entry with { Tags = [new string('x', 101)] },
            "running" => entry with { Limits = new(0, null) },
            "starts" => entry with { Limits = new(null, new(0, Hour)) },
            _ => entry with { Limits = new(null, new(1, TimeSpan.Zero)) },
        };
        await Should.ThrowAsync<ArgumentException>(() => Queue.EnqueueAsync([Entry(), bad], default));
        (await StatusesAsync()).ShouldBeEmpty();
    }

    [Fact]
    public async Task Nothing_is_enqueued_by_an_empty_batch() => (await Queue.EnqueueAsync([], default)).ShouldBeEmpty();

    [Fact]
    public async Task A_key_stands_for_its_first_request_within_its_tenant()
    {
        var first = Keyed("k", 1);
        var id = await EnqueueAsync(first);
        (await Queue.EnqueueAsync([Keyed("k", 1), Keyed("k", 2), Keyed("l", 1), Keyed("k", 1, "other"), first], default))
            .Select(result => result.Outcome)
            .ShouldBe([EnqueueOutcome.Known, EnqueueOutcome.KeyTaken, EnqueueOutcome.Added, EnqueueOutcome.Added, EnqueueOutcome.Added]);
        (await Queue.EnqueueAsync([Keyed("k", 1)], default)).ShouldBe([new EnqueueResult(EnqueueOutcome.Known, id)]);
        (await Queue.EnqueueAsync([Keyed("k", 9)], default)).ShouldBe([new EnqueueResult(EnqueueOutcome.KeyTaken, id)]);
        (await StatusesAsync()).Count.ShouldBe(2);
        (await StatusesAsync("other")).Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_key_counts_within_its_own_batch()
    {
        var first = Keyed("k", 1);
        (await Queue.EnqueueAsync([first, Keyed("k", 1), Keyed("k", 2)], default)).ShouldBe([
            new EnqueueResult(EnqueueOutcome.Added, first.Row.Id),
            new EnqueueResult(EnqueueOutcome.Known, first.Row.Id),
            new EnqueueResult(EnqueueOutcome.KeyTaken, first.Row.Id)]);
        (await StatusesAsync()).Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_key_that_is_over_is_free_also_before_it_is_tidied_away()
    {
        await EnqueueAsync(Keyed("k", 1));
        await ExecuteAsync($"UPDATE idempotency_keys SET expires_at = {Past}");
        var second = Keyed("k", 2);
        await EnqueueAsync(second);
        (await Queue.EnqueueAsync([Keyed("k", 2), Keyed("k", 1)], default)).ShouldBe([
            new EnqueueResult(EnqueueOutcome.Known, second.Row.Id), new EnqueueResult(EnqueueOutcome.KeyTaken, second.Row.Id)]);
        await ExecuteAsync($"UPDATE idempotency_keys SET expires_at = {Past}");
        (await Queue.TidyAsync(Hour, default)).ShouldBe(1);
        (await LinesAsync("SELECT key FROM idempotency_keys")).ShouldBeEmpty();
    }

    [Fact]
    public async Task Of_many_requests_with_one_key_at_once_one_is_added()
    {
        var entries = Enumerable.Range(0, 30).Select(_ => Keyed("k", 1)).ToList();
        var results = await Task.WhenAll(entries.Select(entry => Task.Run(() => Queue.EnqueueAsync([entry], default))));
        var added = results.Select(result => result[0]).Where(result => result.Outcome == EnqueueOutcome.Added).ShouldHaveSingleItem();
        results.ShouldAllBe(result => result[0].Id == added.Id);
        (await StatusesAsync()).Count.ShouldBe(1);
    }

    [Fact]
    public async Task Hostile_text_is_kept_or_replaced_and_nothing_breaks()
    {
        await RegisterAsync("w1");
        const string Odd = "é ✓ 🙂 ' \" ; -- \\ % _";
        var entry = Entry() with
        {
            Tags = [Odd, "a\0b", "a\ufffdb", "c\ud800"],
            WorkJson = "{\"a\":\"\0\udc00" + Odd.Replace("\\", "\\\\").Replace("\"", "\\\"") + "\"}",
            Lane = "l\0" + Odd,
            IdempotencyKey = "k\0" + Odd,
            Fingerprint = [1],
        };
        var id = await EnqueueAsync(entry);
        (await Queue.EnqueueAsync([Entry() with { IdempotencyKey = entry.IdempotencyKey, Fingerprint = [1] }], default))[0].Outcome.ShouldBe(EnqueueOutcome.Known);
        var item = await ClaimOneAsync();
        item.Lane.ShouldBe("l\ufffd" + Odd);
        item.Tags.ShouldBe([Odd, "a\ufffdb", "c\ufffd"]);
        item.WorkJson.ShouldStartWith("{\"a\":\"\ufffd\ufffdé");
        await ListsAsync(new() { TenantId = "default", Tag = Odd }, id);
        await ListsAsync(new() { TenantId = "default", Tag = "a\0b" }, id);
        await ListsAsync(new() { TenantId = "default", Tag = "%" });
        (await SettleAsync(Finished(item, "FAILED", "[\"\0\ud800\"]") with { DeadLetterList = "d\0" })).ShouldBeTrue();
        (await RecordAsync(id)).AttemptsJson.ShouldBe("[\"\ufffd\ufffd\"]");
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Ten_megabytes_of_payload_and_source_come_back_whole()
    {
        await RegisterAsync("w1");
        var large = new byte[10 << 20];
        new Random(1).NextBytes(large);
        var entry = Entry();
        var id = await EnqueueAsync(entry with { Row = entry.Row with { Payload = large }, Source = large });
        var item = await ClaimOneAsync();
        item.Payload!.Value.Span.SequenceEqual(large).ShouldBeTrue();
        item.Source!.Value.Span.SequenceEqual(large).ShouldBeTrue();
        (await SettleAsync(Finished(item))).ShouldBeTrue();
        (await RecordAsync(id)).Payload!.Value.Span.SequenceEqual(large).ShouldBeTrue();
        await TotalsAreRightAsync();
    }

    [Fact]
    public async Task Empty_bytes_are_not_null()
    {
        await RegisterAsync("w1");
        var entry = Entry();
        await EnqueueAsync(entry with { Row = entry.Row with { Payload = ReadOnlyMemory<byte>.Empty }, Source = ReadOnlyMemory<byte>.Empty });
        await EnqueueAsync(Entry() with { Row = Entry().Row with { Payload = null } });
        var items = await ClaimAsync();
        items.Select(item => (item.Payload?.Length, item.Source?.Length)).ShouldBe([(0, 0), (null, null)]);
    }

    private QueueEntry Keyed(string key, byte request, string tenant = "default") => Entry(tenant) with { IdempotencyKey = key, Fingerprint = [request] };
}
