using Flint.Data.Invocations;

namespace Flint.Data.Tests.Conformance;

public abstract class RetentionConformance : StoreConformance
{
    private static readonly DateTimeOffset Now = Rows.Start.AddDays(10);

    [Fact]
    public async Task Age_deletes_what_ended_before_it()
    {
        var old = Rows.Invocations(3, Now.AddDays(-8));
        var fresh = Rows.Invocations(3, Now.AddDays(-6));
        await Store.Invocations.AppendAsync([.. old, .. fresh], default);
        (await PruneAsync(new(TimeSpan.FromDays(7), null))).ShouldBe(3);
        (await IdsAsync()).ShouldBe(Ids(fresh));
    }

    [Fact]
    public async Task An_old_invocation_that_ended_lately_stays()
    {
        var slow = Rows.Invocation(Now.AddDays(-8)) with { CompletedAt = Now.AddDays(-6) };
        await Store.Invocations.AppendAsync([slow], default);
        (await PruneAsync(new(TimeSpan.FromDays(7), null))).ShouldBe(0);
    }

    [Fact]
    public async Task Count_keeps_the_newest_of_each_tenant()
    {
        var mine = Rows.Invocations(10);
        var theirs = Rows.Invocations(4, tenant: "other");
        await Store.Invocations.AppendAsync([.. mine, .. theirs], default);
        (await PruneAsync(new(null, 4))).ShouldBe(6);
        (await IdsAsync()).ShouldBe(Ids(mine[6..]));
        (await IdsAsync("other")).ShouldBe(Ids(theirs));
    }

    [Fact]
    public async Task A_count_of_nothing_deletes_all_that_is_finished()
    {
        await Store.Invocations.AppendAsync(Rows.Invocations(5), default);
        (await PruneAsync(new(null, 0))).ShouldBe(5);
    }

    [Fact]
    public async Task Whichever_limit_is_reached_first_counts()
    {
        var old = Rows.Invocations(2, Now.AddDays(-8));
        var fresh = Rows.Invocations(6, Now.AddDays(-1));
        await Store.Invocations.AppendAsync([.. old, .. fresh], default);
        (await PruneAsync(new(TimeSpan.FromDays(7), 3))).ShouldBe(5);
        (await IdsAsync()).ShouldBe(Ids(fresh[3..]));
        (await PruneAsync(new(TimeSpan.FromDays(7), 100))).ShouldBe(0);
    }

    [Fact]
    public async Task What_is_queued_or_runs_is_never_deleted_nor_counted()
    {
        var at = Now.AddDays(-100);
        var queued = new[] { Rows.Invocation(at, status: "PENDING"), Rows.Invocation(at.AddSeconds(1), status: "RUNNING"), Rows.Invocation(Now, status: "PENDING") };
        var finished = new[] { Rows.Invocation(at.AddDays(1), status: "FAILED"), Rows.Invocation(at.AddDays(2), status: "CANCELLED"), Rows.Invocation(at.AddDays(3)) };
        await Store.Invocations.AppendAsync([.. queued, .. finished], default);

        (await PruneAsync(new(null, 3))).ShouldBe(0);
        (await PruneAsync(new(TimeSpan.FromDays(1), 0))).ShouldBe(3);
        (await IdsAsync()).Order().ShouldBe(queued.Select(row => row.Id).Order());
    }

    [Fact]
    public async Task Pages_delete_the_oldest_first_until_one_is_short()
    {
        var rows = Rows.Invocations(25);
        await Store.Invocations.AppendAsync(rows, default);
        (await PruneAsync(new(null, 5), 8)).ShouldBe(8);
        (await IdsAsync()).ShouldBe(Ids(rows[8..]));
        (await PruneAsync(new(null, 5), 8)).ShouldBe(8);
        (await PruneAsync(new(null, 5), 8)).ShouldBe(4);
        (await PruneAsync(new(null, 5), 8)).ShouldBe(0);
        (await IdsAsync()).ShouldBe(Ids(rows[20..]));
    }

    [Fact]
    public async Task A_page_spans_tenants()
    {
        await Store.Invocations.AppendAsync([.. Rows.Invocations(5, tenant: "a"), .. Rows.Invocations(5, tenant: "b")], default);
        (await PruneAsync(new(null, 0), 7)).ShouldBe(7);
        (await PruneAsync(new(null, 0), 7)).ShouldBe(3);
    }

    [Fact]
    public async Task Without_limits_nothing_is_deleted()
    {
        await Store.Invocations.AppendAsync(Rows.Invocations(3), default);
        (await PruneAsync(new(null, null))).ShouldBe(0);
        (await PruneAsync(new(TimeSpan.MaxValue, long.MaxValue))).ShouldBe(0);
    }

    [Fact]
    public async Task Deleted_rows_leave_no_data_behind()
    {
        var row = Rows.Invocation();
        await Store.Invocations.AppendAsync([row], default);
        await PruneAsync(new(null, 0));
        await Store.Invocations.AppendAsync([row with { Payload = null, Result = null, Log = null, LogDroppedBytes = 0, LogDroppedLines = 0 }], default);
        var read = (await Store.Invocations.GetAsync("default", row.Id, default)).ShouldNotBeNull();
        read.Payload.ShouldBeNull();
        read.LogDroppedLines.ShouldBe(0);
    }

    private Task<int> PruneAsync(Retention retention, int page = 1000) => Store.Invocations.PruneAsync(retention, Now, page, default);

    private async Task<List<string>> IdsAsync(string tenant = "default") =>
        [.. (await Store.Invocations.ListAsync(new() { TenantId = tenant, Limit = 1000 }, default)).Rows.Select(row => row.Id)];

    private static IEnumerable<string> Ids(IEnumerable<InvocationRow> rows) => rows.Select(row => row.Id).Reverse();
}
