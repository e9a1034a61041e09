using Flint.Data.Invocations;

namespace Flint.Data.Tests.Conformance;

public abstract class InvocationConformance : StoreConformance
{
    private IInvocationStore Invocations => Store.Invocations;

    [Fact]
    public async Task A_row_reads_back_with_every_field()
    {
        var row = Rows.Invocation(status: "FAILED");
        await Invocations.AppendAsync([row], default);
        Same((await Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull(), row);
    }

    [Fact]
    public async Task A_row_without_optional_fields_reads_back_as_nulls()
    {
        var row = Rows.Invocation() with
        {
            Qualifier = null,
            StartedAt = null,
            CompletedAt = null,
            DurationMs = null,
            InitDurationMs = null,
            BilledMs = null,
            PeakMemoryBytes = null,
            ColdStart = null,
            Engine = null,
            StartMode = null,
            StartReason = null,
            SandboxId = null,
            Unenforced = null,
            Payload = null,
            Result = null,
            Log = null,
            LogDroppedLines = 0,
            LogDroppedBytes = 0,
        };
        await Invocations.AppendAsync([row], default);
        Same((await Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull(), row);
    }

    [Fact]
    public async Task Empty_text_and_empty_bytes_are_not_null()
    {
        var row = Rows.Invocation() with { Qualifier = "", Payload = ReadOnlyMemory<byte>.Empty, Result = ReadOnlyMemory<byte>.Empty };
        await Invocations.AppendAsync([row], default);
        Same((await Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull(), row);
    }

    [Fact]
    public async Task An_empty_batch_is_nothing() => await Invocations.AppendAsync([], default);

    [Fact]
    public async Task A_repeated_batch_changes_nothing()
    {
        var rows = Rows.Invocations(10);
        await Invocations.AppendAsync(rows[..5], default);
        await Invocations.AppendAsync([.. rows.Select(row => row with { Status = "FAILED", Result = null })], default);
        (await ListAsync()).Count(row => row.Status == "COMPLETED").ShouldBe(5);
        Same((await Invocations.GetAsync("default", rows[0].Id, default)).ShouldNotBeNull(), rows[0]);
    }

    [Fact]
    public async Task One_id_twice_in_a_batch_is_kept_once()
    {
        var row = Rows.Invocation();
        await Invocations.AppendAsync([row, row with { FunctionName = "other" }], default);
        (await ListAsync()).ShouldHaveSingleItem().FunctionName.ShouldBe("hello");
    }

    [Fact]
    public async Task A_bad_id_or_status_is_refused_before_anything_is_written()
    {
        await Should.ThrowAsync<ArgumentException>(() => Invocations.AppendAsync([Rows.Invocation(), Rows.Invocation() with { Id = "7" }], default));
        await Should.ThrowAsync<ArgumentException>(() => Invocations.AppendAsync([Rows.Invocation(), Rows.Invocation(status: "DONE")], default));
        (await ListAsync()).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("")]
    [InlineData("0195A5E8-0000-7000-8000-000000000000")]
    public async Task An_id_of_another_form_finds_nothing(string id) => (await Invocations.GetAsync("default", id, default)).ShouldBeNull();

    [Fact]
    public async Task Large_payloads_results_and_logs_are_kept_whole()
    {
        var large = new byte[6 << 20];
        new Random(1).NextBytes(large);
        var row = Rows.Invocation() with { Payload = large, Result = large, Log = large.AsMemory(0, 1 << 20) };
        await Invocations.AppendAsync([row], default);
        var read = (await Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull();
        read.Result!.Value.Span.SequenceEqual(large).ShouldBeTrue();
        read.Payload!.Value.Span.SequenceEqual(large).ShouldBeTrue();
        read.Log!.Value.Length.ShouldBe(1 << 20);
    }

    [Fact]
    public async Task Odd_text_is_replaced_and_good_text_is_kept()
    {
        var row = Rows.Invocation() with { FunctionName = "a\0b\ud800c", ErrorJson = "{\"m\":\"\udc00\"}", ErrorType = "é ✓ 🙂 ' \" ; --" };
        await Invocations.AppendAsync([row], default);
        var read = (await Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull();
        read.FunctionName.ShouldBe("a\ufffdb\ufffdc");
        read.ErrorJson.ShouldBe("{\"m\":\"\ufffd\"}");
        read.ErrorType.ShouldBe(row.ErrorType);
        await ListsAsync(new() { TenantId = "default", FunctionName = row.FunctionName }, row);
        (await Invocations.GetAsync("default\0", row.Id, default)).ShouldBeNull();
    }

    [Fact]
    public async Task Lists_are_newest_first_and_without_data()
    {
        var rows = Rows.Invocations(5);
        await Invocations.AppendAsync(rows, default);
        var listed = await ListAsync();
        listed.Select(row => row.Id).ShouldBe(rows.Select(row => row.Id).Reverse());
        listed.ShouldAllBe(row => row.Payload == null && row.Result == null && row.Log == null && row.LogDroppedLines == 2);
    }

    [Fact]
    public async Task Errors_are_in_lists()
    {
        var row = Rows.Invocation(status: "FAILED");
        await Invocations.AppendAsync([row], default);
        (await ListAsync()).ShouldHaveSingleItem().ErrorJson.ShouldBe(row.ErrorJson);
    }

    [Fact]
    public async Task Every_filter_keeps_what_it_names()
    {
        var at = Rows.Start;
        var cold = Rows.Invocation(at.AddSeconds(1)) with { ColdStart = true };
        var failed = Rows.Invocation(at.AddSeconds(2), status: "FAILED");
        var other = Rows.Invocation(at.AddSeconds(3), function: "other");
        var pending = Rows.Invocation(at.AddSeconds(4), status: "PENDING") with { ColdStart = null };
        await Invocations.AppendAsync([cold, failed, other, pending], default);

        await ListsAsync(new() { TenantId = "default", ColdStart = true }, cold);
        await ListsAsync(new() { TenantId = "default", ColdStart = false }, other, failed);
        await ListsAsync(new() { TenantId = "default", Status = "FAILED" }, failed);
        await ListsAsync(new() { TenantId = "default", Status = "PENDING" }, pending);
        await ListsAsync(new() { TenantId = "default", Status = "COMPLETED" }, other, cold);
        await ListsAsync(new() { TenantId = "default", FunctionName = "other" }, other);
        await ListsAsync(new() { TenantId = "default", FunctionName = "hello", Status = "COMPLETED", ColdStart = true }, cold);
        await ListsAsync(new() { TenantId = "default", From = at.AddSeconds(2) }, pending, other, failed);
        await ListsAsync(new() { TenantId = "default", To = at.AddSeconds(2) }, cold);
        await ListsAsync(new() { TenantId = "default", From = at.AddSeconds(2), To = at.AddSeconds(4) }, other, failed);
        await ListsAsync(new() { TenantId = "default", BeforeId = other.Id }, failed, cold);
        await ListsAsync(new() { TenantId = "default", BeforeId = other.Id, Status = "FAILED", FunctionName = "hello", From = at, To = at.AddDays(1), ColdStart = false }, failed);
        await ListsAsync(new() { TenantId = "default", Mode = "sync", Status = "FAILED" }, failed);
        await ListsAsync(new() { TenantId = "default", Mode = "job" });
        await ListsAsync(new() { TenantId = "default", Tag = "'; DROP" });
        await ListsAsync(new() { TenantId = "default", Offset = 3 }, cold);
        await ListsAsync(new() { TenantId = "default", Offset = 1, Limit = 2 }, other, failed);
        await ListsAsync(new() { TenantId = "default", FunctionName = "'; DROP TABLE invocations; --" });
    }

    [Theory]
    [InlineData(0, null, null)]
    [InlineData(1001, null, null)]
    [InlineData(10, "DONE' OR 1=1 --", null)]
    [InlineData(10, null, "not-an-id")]
    [InlineData(10, null, null, "job' --")]
    [InlineData(10, null, null, null, -1)]
    [InlineData(10, null, null, null, 100_001)]
    public async Task A_bad_query_is_refused(int limit, string? status, string? before, string? mode = null, int offset = 0) => await Should.ThrowAsync<ArgumentException>(
        () => Invocations.ListAsync(new() { TenantId = "default", Limit = limit, Status = status, BeforeId = before, Mode = mode, Offset = offset }, default));

    [Fact]
    public async Task A_full_last_page_has_no_more()
    {
        await Invocations.AppendAsync(Rows.Invocations(4), default);
        (await Invocations.ListAsync(new() { TenantId = "default", Limit = 4 }, default)).HasMore.ShouldBeFalse();
        (await Invocations.ListAsync(new() { TenantId = "default", Limit = 3 }, default)).HasMore.ShouldBeTrue();
    }

    [Fact]
    public async Task Paging_while_rows_arrive_shows_each_row_once()
    {
        var before = Rows.Invocations(100);
        await Invocations.AppendAsync(before, default);
        var seen = new List<string>();
        InvocationPage page;
        do
        {
            page = await Invocations.ListAsync(new() { TenantId = "default", Limit = 7, BeforeId = seen.Count == 0 ? null : seen[^1] }, default);
            seen.AddRange(page.Rows.Select(row => row.Id));
            await Invocations.AppendAsync(Rows.Invocations(10, Rows.Start.AddHours(1 + seen.Count)), default);
        }
        while (page.HasMore);

        seen.ShouldBe(before.Select(row => row.Id).Reverse());
    }

    [Fact]
    public async Task Tenants_never_see_each_other()
    {
        var mine = Rows.Invocation(tenant: "one");
        var theirs = mine with { TenantId = "two", FunctionName = "secret" };
        await Invocations.AppendAsync([mine, theirs], default);

        Same((await Invocations.GetAsync("one", mine.Id, default)).ShouldNotBeNull(), mine);
        Same((await Invocations.GetAsync("two", mine.Id, default)).ShouldNotBeNull(), theirs);
        (await Invocations.GetAsync("three", mine.Id, default)).ShouldBeNull();
        await ListsAsync(new() { TenantId = "one" }, mine);
        await ListsAsync(new() { TenantId = "one", FunctionName = "secret" });
        await ListsAsync(new() { TenantId = "three" });
    }

    [Fact]
    public async Task Parallel_writers_lose_nothing()
    {
        var batches = Enumerable.Range(0, 40).Select(i => Rows.Invocations(25, Rows.Start.AddSeconds(i))).ToList();
        await Task.WhenAll(batches.Select(batch => Task.Run(() => Invocations.AppendAsync(batch, default))));
        (await ListAsync(1000)).Count.ShouldBe(1000);
    }

    [Fact]
    public async Task Overlapping_batches_in_parallel_settle_on_one_row_each()
    {
        var rows = Rows.Invocations(200);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(i => Task.Run(
            () => Invocations.AppendAsync([.. rows.OrderBy(row => (row.Id, i).GetHashCode())], default))));
        (await ListAsync(1000)).Count.ShouldBe(200);
    }

    [Fact]
    public async Task Committed_rows_survive_reopening()
    {
        var rows = Rows.Invocations(3);
        await Invocations.AppendAsync(rows, default);
        await ReopenAsync();
        (await ListAsync()).Count.ShouldBe(3);
    }

    private protected async Task<List<InvocationRow>> ListAsync(int limit = 100) =>
        [.. (await Invocations.ListAsync(new() { TenantId = "default", Limit = limit }, default)).Rows];

    private async Task ListsAsync(InvocationQuery query, params InvocationRow[] expected) =>
        (await Invocations.ListAsync(query, default)).Rows.Select(row => row.Id).ShouldBe(expected.Select(row => row.Id), query.ToString());

    private static void Same(InvocationRow actual, InvocationRow expected)
    {
        (actual with { Payload = null, Result = null, Log = null }).ShouldBe(expected with { Payload = null, Result = null, Log = null });
        Bytes(actual.Payload).ShouldBe(Bytes(expected.Payload));
        Bytes(actual.Result).ShouldBe(Bytes(expected.Result));
        Bytes(actual.Log).ShouldBe(Bytes(expected.Log));
    }

    private static byte[]? Bytes(ReadOnlyMemory<byte>? memory) => memory?.ToArray();
}
