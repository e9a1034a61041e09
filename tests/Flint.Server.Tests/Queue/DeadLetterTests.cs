using System.Net;
using System.Text;
using Flint.Data.Catalog;
using Flint.Data.Invocations;
using Flint.Data.Model;
using Flint.Data.Queue;
using Flint.Server.Queue;

namespace Flint.Server.Tests.Queue;

public sealed class DeadLetterTests
{
    private static readonly DateTimeOffset Start = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private readonly RecordingQueue _queue = new();

    [Fact]
    public async Task Lists_are_shown_with_their_counts_and_entries_with_their_records()
    {
        await using var server = await StartAsync();
        (await (await server.GetAsync("/api/dead-letters")).ReadAsync()).GetRawText().ShouldBe("""{"items":[]}""");
        var ids = await AddAsync(server, "default", 3);
        await AddAsync(server, "other", 1);

        (await (await server.GetAsync("/api/dead-letters")).ReadAsync()).GetRawText().ShouldBe(
            """{"items":[{"name":"default","count":3,"oldestAt":"2026-01-01T00:00:00.000Z"},{"name":"other","count":1,"oldestAt":"2026-01-01T00:00:00.000Z"}]}""");
        var page = await (await server.GetAsync("/api/dead-letters/default?limit=2")).ReadAsync();
        page.GetProperty("items").EnumerateArray().Select(item => item.Text("id")).ShouldBe([ids[2], ids[1]]);
        (page.GetProperty("items")[0].Text("function"), page.GetProperty("items")[0].Text("errorType")).ShouldBe(("f", "Unhandled"));
        page = await (await server.GetAsync($"/api/dead-letters/default?limit=2&cursor={page.Text("nextCursor")}")).ReadAsync();
        (page.GetProperty("items").EnumerateArray().Single().Text("id"), page.Has("nextCursor")).ShouldBe((ids[0], false));

        var record = await (await server.GetAsync($"/api/dead-letters/default/{ids[0]}")).ReadAsync();
        (record.Text("id"), record.Text("status"), record.GetProperty("event").GetRawText()).ShouldBe((ids[0], "FAILED", "[0]"));
        foreach (var id in new[] { Guid.CreateVersion7(Start).ToString("d"), "no-id" })
        {
            await (await server.GetAsync($"/api/dead-letters/default/{id}")).ShouldBeProblemAsync(404, "dead_letter_not_found", "id");
        }

        await (await server.GetAsync($"/api/dead-letters/other/{ids[0]}")).ShouldBeProblemAsync(404, "dead_letter_not_found");
        await (await server.GetAsync("/api/dead-letters/a%20b")).ShouldBeProblemAsync(400, "invalid_name", "list");
        await (await server.GetAsync("/api/dead-letters/default?cursor=AA")).ShouldBeProblemAsync(400, "invalid_field", "cursor");
        (await (await server.GetAsync("/api/dead-letters/none")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(0);
    }

    [Fact]
    public async Task One_is_redriven_as_it_was_under_a_new_id()
    {
        await using var server = await StartAsync();
        var id = (await AddAsync(server, "default", 1, depth: 3))[0];
        using var answer = await server.PostAsync($"/api/dead-letters/default/{id}/redrive", "");
        var accepted = await answer.ReadAsync(HttpStatusCode.Accepted);

        var entry = _queue.Entries.ShouldHaveSingleItem();
        (accepted.Text("id"), accepted.Text("id") != id, Encoding.UTF8.GetString(entry.Row.Payload!.Value.Span)).ShouldBe((entry.Row.Id, true, "[0]"));
        entry.WorkJson.ShouldBe(_queue.Works[id].WorkJson);
        entry.Tags.ShouldBe(["mine", "redrive:" + id]);
        entry.Lane.ShouldBe(Lanes.OfFunction(entry.Row.FunctionId));
        await (await server.PostAsync($"/api/dead-letters/default/{id}/redrive", "")).ShouldBeProblemAsync(404, "dead_letter_not_found");
    }

    [Fact]
    public async Task A_redrive_that_broke_off_is_not_done_twice()
    {
        await using var server = await StartAsync();
        var id = (await AddAsync(server, "default", 1))[0];
        _queue.AfterEnqueue = () => throw new Flint.Data.DatabaseException("gone");
        (await server.PostAsync($"/api/dead-letters/default/{id}/redrive", "")).StatusCode.ShouldBe(HttpStatusCode.ServiceUnavailable);
        _queue.AfterEnqueue = () => Task.CompletedTask;
        var accepted = await (await server.PostAsync($"/api/dead-letters/default/{id}/redrive", "")).ReadAsync(HttpStatusCode.Accepted);
        _queue.Entries.ShouldHaveSingleItem().Row.Id.ShouldBe(accepted.Text("id"));
        (await (await server.GetAsync("/api/dead-letters")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(0);
    }

    [Fact]
    public async Task What_cannot_be_redriven_stays_and_says_why()
    {
        await using var server = await StartAsync();
        var ids = await AddAsync(server, "default", 2);
        _queue.Works[ids[0]] = _queue.Works[ids[0]] with { Payload = null };
        await (await server.PostAsync($"/api/dead-letters/default/{ids[0]}/redrive", "")).ShouldBeProblemAsync(409, "not_redrivable", "id");
        await server.SendAsync(HttpMethod.Delete, "/api/functions/f");
        await (await server.PostAsync($"/api/dead-letters/default/{ids[1]}/redrive", "")).ShouldBeProblemAsync(404, "function_not_found");

        (await (await server.PostAsync("/api/dead-letters/default/redrive", "")).ReadAsync()).GetRawText().ShouldBe("""{"redriven":0,"skipped":2,"remaining":0}""");
        (await (await server.GetAsync("/api/dead-letters/default")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(2);
    }

    [Fact]
    public async Task All_are_redriven_in_parts_oldest_first()
    {
        await using var server = await StartAsync();
        var ids = await AddAsync(server, "default", 130);
        _queue.Works[ids[1]] = _queue.Works[ids[1]] with { Payload = null };

        var part = await (await server.PostAsync("/api/dead-letters/default/redrive?limit=60", "")).ReadAsync();
        (Number("redriven"), Number("skipped"), Number("remaining")).ShouldBe((59, 1, 70));
        part = await (await server.PostAsync($"/api/dead-letters/default/redrive?cursor={part.Text("nextCursor")}", "")).ReadAsync();
        (Number("redriven"), Number("skipped"), Number("remaining"), part.Has("nextCursor")).ShouldBe((70, 0, 0, false));

        _queue.Entries.Select(entry => entry.Tags[^1]).ShouldBe(ids.Where((_, i) => i != 1).Select(id => "redrive:" + id));
        (await (await server.GetAsync("/api/dead-letters/default")).ReadAsync()).GetProperty("items").EnumerateArray().Select(item => item.Text("id")).ShouldBe([ids[1]]);
        foreach (var wrong in new[] { "0", "1001", "x" })
        {
            await (await server.PostAsync($"/api/dead-letters/default/redrive?limit={wrong}", "")).ShouldBeProblemAsync(400, "invalid_field", "limit");
        }

        int Number(string name) => part.GetProperty(name).GetInt32();
    }

    [Fact]
    public async Task One_is_removed_and_a_list_is_purged_and_the_records_stay()
    {
        await using var server = await StartAsync();
        var ids = await AddAsync(server, "default", 700);
        await AddAsync(server, "other", 1);
        (await server.SendAsync(HttpMethod.Delete, $"/api/dead-letters/default/{ids[5]}")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await (await server.SendAsync(HttpMethod.Delete, $"/api/dead-letters/default/{ids[5]}")).ShouldBeProblemAsync(404, "dead_letter_not_found");
        (await (await server.SendAsync(HttpMethod.Delete, "/api/dead-letters/default")).ReadAsync()).GetRawText().ShouldBe("""{"deleted":699}""");
        (await (await server.GetAsync("/api/dead-letters")).ReadAsync()).GetProperty("items").EnumerateArray().Single().Text("name").ShouldBe("other");
        (await server.GetAsync($"/api/invocations/{ids[5]}")).StatusCode.ShouldBe(HttpStatusCode.OK);
        _queue.Entries.ShouldBeEmpty();
    }

    private async Task<TestServer> StartAsync()
    {
        var server = await QueueingServer.StartAsync(_queue);
        await server.DeployAsync("f");
        return server;
    }

    /// <summary>Failed records and their entries, as the queue's store leaves them.</summary>
    private async Task<string[]> AddAsync(TestServer server, string list, int count, int depth = 0)
    {
        var rows = Enumerable.Range(0, count).Select(i => new InvocationRow
        {
            TenantId = "default",
            Id = Guid.CreateVersion7(Start.AddSeconds(i)).ToString("d"),
            FunctionId = "1",
            FunctionName = "f",
            Version = "$LATEST",
            Mode = "async",
            Status = "FAILED",
            ErrorType = "Unhandled",
            CreatedAt = Start.AddSeconds(i),
            CompletedAt = Start.AddSeconds(i),
            Payload = Encoding.UTF8.GetBytes($"[{i}]"),
        }).ToArray();
        await server.Get<IInvocationStore>().AppendAsync(rows, default);
        await server.Get<ICatalogStore>().WriteAsync((db, token) =>
        {
            db.AddRange(rows.Select(row => new DeadLetterEntity
            {
                TenantId = "default",
                List = list,
                Id = Guid.Parse(row.Id),
                FunctionName = "f",
                ErrorType = "Unhandled",
                AddedAt = row.CreatedAt,
            }));
            return db.SaveChangesAsync(token);
        }, default);
        var work = new QueuedWork { Function = new FunctionWork("f", null), Retry = new RetryRules { Retries = 4, MaxAgeMs = 5 }, Depth = depth }.ToJson();
        foreach (var row in rows)
        {
            _queue.Works[row.Id] = new StoredWork(work, null, row.Payload, null, ["mine"]);
        }

        return [.. rows.Select(row => row.Id)];
    }
}
