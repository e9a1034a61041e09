using Flint.Data.Queue;

namespace Flint.Data.Tests.Conformance;

public abstract partial class QueueConformance
{
    [Fact]
    public async Task Lists_and_counts_tell_waiting_running_and_finished_apart()
    {
        await RegisterAsync("w1");
        var entries = Enumerable.Range(0, 6).Select(i => Entry(mode: i == 5 ? "async" : "job") with { Tags = i % 2 == 0 ? ["even"] : [] }).ToList();
        entries[5] = entries[5] with { Row = entries[5].Row with { FunctionId = "f", FunctionName = "hello" } };
        await EnqueueAsync(entries);
        var ids = entries.ConvertAll(entry => entry.Row.Id);
        var items = await ClaimAsync(4);
        (await Queue.SettleAsync([Finished(items[0]), Finished(items[1], "FAILED")], default)).ShouldBe([true, true]);
        var sync = Rows.Invocation(TimeProvider.System.GetUtcNow().AddMinutes(-5));
        await Store.Invocations.AppendAsync([sync], default);

        await ListsAsync(new() { TenantId = "default" }, [.. Enumerable.Reverse(ids), sync.Id]);
        await ListsAsync(new() { TenantId = "default", Status = "PENDING" }, ids[5], ids[4]);
        await ListsAsync(new() { TenantId = "default", Status = "RUNNING" }, ids[3], ids[2]);
        await ListsAsync(new() { TenantId = "default", Status = "COMPLETED" }, ids[0], sync.Id);
        await ListsAsync(new() { TenantId = "default", Status = "FAILED" }, ids[1]);
        await ListsAsync(new() { TenantId = "default", Mode = "job" }, ids[4], ids[3], ids[2], ids[1], ids[0]);
        await ListsAsync(new() { TenantId = "default", Mode = "async" }, ids[5]);
        await ListsAsync(new() { TenantId = "default", Mode = "sync" }, sync.Id);
        await ListsAsync(new() { TenantId = "default", Mode = "job", Status = "PENDING" }, ids[4]);
        await ListsAsync(new() { TenantId = "default", Mode = "job", Status = "COMPLETED" }, ids[0]);
        await ListsAsync(new() { TenantId = "default", Mode = "delivery" });
        await ListsAsync(new() { TenantId = "default", Tag = "even" }, ids[4], ids[2], ids[0]);
        await ListsAsync(new() { TenantId = "default", Tag = "even", Status = "RUNNING" }, ids[2]);
        await ListsAsync(new() { TenantId = "default", Tag = "even", Status = "PENDING", Mode = "job" }, ids[4]);
        await ListsAsync(new() { TenantId = "default", FunctionName = "hello", Status = "PENDING" }, ids[5]);
        await ListsAsync(new() { TenantId = "default", FunctionName = "hello", Status = "RUNNING" });
        await ListsAsync(new() { TenantId = "other", Status = "RUNNING" });
        await ListsAsync(new() { TenantId = "other", Tag = "even" });
        await ListsAsync(new() { TenantId = "default", Status = "RUNNING", From = entries[0].Row.CreatedAt.AddMinutes(-1), To = entries[0].Row.CreatedAt.AddMinutes(1) }, ids[3], ids[2]);
        await ListsAsync(new() { TenantId = "default", Tag = "even", To = entries[0].Row.CreatedAt.AddMinutes(-1) });
    }

    [Fact]
    public async Task Pages_go_by_cursor_and_by_number_also_of_what_runs_and_what_is_tagged()
    {
        await RegisterAsync("w1");
        var entries = Entries(12).ConvertAll(entry => entry with { Tags = ["t"] });
        await EnqueueAsync(entries);
        await ClaimAsync(12);
        var ids = entries.ConvertAll(entry => entry.Row.Id);
        ids.Reverse();
        foreach (var query in new Invocations.InvocationQuery[]
        {
            new() { TenantId = "default" }, new() { TenantId = "default", Status = "RUNNING" }, new() { TenantId = "default", Tag = "t" }, new() { TenantId = "default", Mode = "job" },
        })
        {
            var page = await Store.Invocations.ListAsync(query with { Limit = 5, BeforeId = ids[2] }, default);
            page.Rows.Select(row => row.Id).ShouldBe(ids[3..8], query.ToString());
            page.HasMore.ShouldBeTrue();
            page = await Store.Invocations.ListAsync(query with { Limit = 5, Offset = 10 }, default);
            page.Rows.Select(row => row.Id).ShouldBe(ids[10..], query.ToString());
            page.HasMore.ShouldBeFalse();
            (await Queue.CountAsync(query with { Limit = 5, Offset = 10, BeforeId = ids[2] }, 1000, default)).ShouldBe(12);
            (await Queue.CountAsync(query, 7, default)).ShouldBe(7);
        }

        await Should.ThrowAsync<ArgumentException>(() => Queue.CountAsync(new() { TenantId = "default", Mode = "'" }, 7, default));
    }

    [Fact]
    public async Task Depth_counts_what_waits_is_delayed_and_runs_to_a_bound()
    {
        await RegisterAsync("w1");
        (await Queue.DepthAsync(null, 100, default)).ShouldBe(new QueueDepth(0, 0, 0, null));
        await EnqueueAsync(Entries(6).Append(Entry("other")).Append(Entry() with { Delay = Hour }));
        await ExecuteAsync($"UPDATE queue SET run_at = {Past} WHERE tenant_id = 'other'");
        (await Queue.DepthAsync("other", 100, default)).OldestWaiting!.Value.ShouldBeGreaterThan(TimeSpan.FromDays(365));
        await ClaimAsync(4);
        var depth = await Queue.DepthAsync(null, 100, default);
        (depth.Waiting, depth.Delayed, depth.Running).ShouldBe((3, 1, 4));
        depth.OldestWaiting!.Value.ShouldBeInRange(TimeSpan.Zero, Hour);
        depth = await Queue.DepthAsync("default", 2, default);
        (depth.Waiting, depth.Delayed, depth.Running).ShouldBe((2, 1, 2));
        depth = await Queue.DepthAsync("other", 100, default);
        (depth.Waiting, depth.Delayed, depth.Running, depth.OldestWaiting).ShouldBe((0, 0, 1, null));
    }

    [Fact]
    public async Task Retention_spares_what_is_unfinished_and_leaves_nothing_of_what_it_deletes()
    {
        await RegisterAsync("w1");
        var entries = Entries(5).ConvertAll(entry => entry with { Tags = ["a", "b\"'"] });
        await EnqueueAsync(entries);
        await EnqueueAsync(Entry("other") with { Tags = ["a"] });
        var items = (await ClaimAsync(10)).Where(item => item.TenantId == "default").ToList();
        (await Queue.SettleAsync(
            [Finished(items[0], "FAILED") with { DeadLetterList = "d" }, Finished(items[1], "FAILED") with { DeadLetterList = "d" }, Again(items[2])], default)).ShouldBe([true, true, true]);
        (await Store.Invocations.PruneAsync(new(null, 1), Rows.Start, 100, default)).ShouldBe(1);
        (await LinesAsync("SELECT list || '' FROM dead_letters")).ShouldBe(["d"]);
        (await Store.Invocations.PruneAsync(new(TimeSpan.Zero, 0, 0), Rows.Start, 100, default)).ShouldBe(1);
        (await StatusesAsync()).ShouldBe(["PENDING", "RUNNING", "RUNNING"]);
        (await LinesAsync("SELECT tag || '' FROM invocation_tags WHERE tenant_id = 'default'")).Count.ShouldBe(6);
        (await LinesAsync("SELECT list || '' FROM dead_letters")).ShouldBeEmpty();
        (await LinesAsync("SELECT work FROM invocation_work")).Count.ShouldBe(4);
        (await Queue.WorkAsync("default", items[0].Id, default)).ShouldBeNull();
        await TotalsAreRightAsync();
    }
}
