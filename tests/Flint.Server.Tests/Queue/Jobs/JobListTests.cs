using System.Net;
using System.Text.Json;

namespace Flint.Server.Tests.Queue.Jobs;

/// <summary>Lists, bulk submissions and idempotency keys.</summary>
public sealed class JobListTests
{
    [Fact]
    public async Task Pages_and_cursors_give_every_job_once_newest_first()
    {
        await using var server = await JobServer.StartAsync();
        var ids = await BulkAsync(server, 25, number => $$"""{"code":"x","args":[{{number}}]}""");
        ids.Reverse();
        var first = await ListAsync(server, "");
        Ids(first).ShouldBe(ids[..10]);
        first.GetProperty("page").GetInt32().ShouldBe(1);
        first.GetProperty("limit").GetInt32().ShouldBe(10);
        first.GetProperty("total").GetInt32().ShouldBe(25);
        first.GetProperty("totalIsExact").GetBoolean().ShouldBeTrue();
        Ids(await ListAsync(server, "?page=3")).ShouldBe(ids[20..]);
        Ids(await ListAsync(server, "?page=4")).ShouldBeEmpty();
        Ids(await ListAsync(server, "?page=2&limit=7")).ShouldBe(ids[7..14]);

        var (walked, cursor) = (Ids(first), first.Text("nextCursor"));
        while (cursor is not null)
        {
            var page = await ListAsync(server, "?cursor=" + cursor);
            page.Has("page").ShouldBeFalse();
            page.Has("total").ShouldBeFalse();
            walked.AddRange(Ids(page));
            cursor = page.Text("nextCursor");
        }

        walked.ShouldBe(ids);
    }

    [Fact]
    public async Task Lists_are_filtered_by_status_tag_and_time()
    {
        await using var server = await JobServer.StartAsync();
        var plain = await server.SubmitAsync("""{"code":"x"}""");
        var tagged = await server.SubmitAsync("""{"code":"x","tags":["a","ä ö"]}""");
        var delayed = await server.SubmitAsync("""{"code":"x","tags":["a"],"delayMs":100000}""");
        (await server.ClaimAsync()).Id.ShouldBe(plain);
        Ids(await ListAsync(server, "?status=RUNNING")).ShouldBe([plain]);
        Ids(await ListAsync(server, "?status=pending")).ShouldBe([delayed, tagged]);
        Ids(await ListAsync(server, "?tag=a")).ShouldBe([delayed, tagged]);
        Ids(await ListAsync(server, "?tag=%C3%A4%20%C3%B6")).ShouldBe([tagged]);
        Ids(await ListAsync(server, "?tag=b")).ShouldBeEmpty();
        Ids(await ListAsync(server, "?tag=a&status=COMPLETED")).ShouldBeEmpty();
        Ids(await ListAsync(server, "?from=2100-01-01T00:00:00Z")).ShouldBeEmpty();
        Ids(await ListAsync(server, "?to=2100-01-01T00:00:00Z")).Count.ShouldBe(3);
        (await ListAsync(server, "?status=PENDING&limit=1")).GetProperty("total").GetInt32().ShouldBe(2);
        (await ListAsync(server, "?tag=a&limit=1")).GetProperty("total").GetInt32().ShouldBe(2);
        var item = (await ListAsync(server, "?tag=a&limit=1")).GetProperty("items")[0];
        item.GetProperty("tags").GetRawText().ShouldBe("""["a"]""");
        item.Text("language").ShouldBe("javascript");
        item.Text("runAt").ShouldNotBeNull();
    }

    [Theory]
    [InlineData("page=0", "page")]
    [InlineData("page=-1", "page")]
    [InlineData("page=x", "page")]
    [InlineData("page=99999999999", "page")]
    [InlineData("limit=0", "limit")]
    [InlineData("limit=101", "limit")]
    [InlineData("status=DONE", "status")]
    [InlineData("from=yesterday", "from")]
    [InlineData("to=x", "to")]
    [InlineData("cursor=!", "cursor")]
    [InlineData("cursor=YWJj", "cursor")]
    [InlineData("tag=%00", "tag")]
    public async Task A_bad_list_is_named(string query, string field)
    {
        await using var server = await JobServer.StartAsync();
        await (await server.GetAsync("/api/jobs?" + query)).ShouldBeProblemAsync(400, "invalid_field", field);
    }

    [Fact]
    public async Task Deep_pages_are_refused_with_the_way_to_go()
    {
        await using var server = await JobServer.StartAsync();
        (await server.GetAsync("/api/jobs?page=1001&limit=100")).StatusCode.ShouldBe(HttpStatusCode.OK);
        var problem = await (await server.GetAsync("/api/jobs?page=1002&limit=100")).ShouldBeProblemAsync(400, "out_of_range", "page");
        problem.Text("detail")!.ShouldContain("cursor");
        var cursor = (await BulkAndFirstCursorAsync(server))!;
        await (await server.GetAsync($"/api/jobs?page=1&cursor={cursor}")).ShouldBeProblemAsync(400, "invalid_field", "page");
    }

    [Fact]
    public async Task The_same_key_answers_with_the_first_job()
    {
        await using var server = await JobServer.StartAsync();
        const string Body = """{"code":"x","args":[1],"delayMs":500000,"idempotencyKey":"k"}""";
        var first = await server.SubmitAsync(Body);
        using var again = await server.PostAsync("/api/jobs", Body);
        again.Headers.GetValues("Idempotent-Replayed").ShouldBe(["true"]);
        (await again.ReadAsync(HttpStatusCode.OK)).Text("id").ShouldBe(first);
        using var byHeader = await server.SendAsync(HttpMethod.Post, "/api/jobs", """{"delayMs":500000,"args":[1],"code":"x"}""", ("Idempotency-Key", "k"));
        (await byHeader.ReadAsync(HttpStatusCode.OK)).Text("id").ShouldBe(first);
        (await ListAsync(server, "")).GetProperty("total").GetInt32().ShouldBe(1);

        foreach (var other in new[] { """{"code":"y","args":[1],"delayMs":500000}""", """{"code":"x","args":[2],"delayMs":500000}""", """{"code":"x","args":[1],"delayMs":500001}""", """{"code":"x","args":[1],"delayMs":500000,"timeout":1}""", """{"code":"x","args":[1],"delayMs":500000,"tags":["t"]}""" })
        {
            using var conflict = await server.SendAsync(HttpMethod.Post, "/api/jobs", other, ("Idempotency-Key", "k"));
            (await conflict.ShouldBeProblemAsync(409, "idempotency_conflict", "idempotencyKey")).Text("detail")!.ShouldContain(first);
        }

        using var differ = await server.SendAsync(HttpMethod.Post, "/api/jobs", Body, ("Idempotency-Key", "other"));
        await differ.ShouldBeProblemAsync(400, "invalid_field", "idempotencyKey");
        using var rerun = await server.SendAsync(HttpMethod.Post, $"/api/jobs/{first}/rerun", null, ("Idempotency-Key", "r"));
        var second = (await rerun.ReadAsync(HttpStatusCode.Accepted)).Text("id");
        using var rerunAgain = await server.SendAsync(HttpMethod.Post, $"/api/jobs/{first}/rerun", null, ("Idempotency-Key", "r"));
        (await rerunAgain.ReadAsync(HttpStatusCode.OK)).Text("id").ShouldBe(second);
    }

    [Fact]
    public async Task A_bulk_submission_tells_of_each()
    {
        await using var server = await JobServer.StartAsync();
        var earlier = await server.SubmitAsync("""{"code":"x","idempotencyKey":"k"}""");
        using var answer = await server.PostAsync("/api/jobs/bulk", """[{"code":"a"},{"code":"x","idempotencyKey":"k"},{"code":"other","idempotencyKey":"k"},{"code":"b","idempotencyKey":"n"},{"code":"b","idempotencyKey":"n"}]""");
        var items = (await answer.ReadAsync(HttpStatusCode.Accepted)).GetProperty("items").EnumerateArray().ToArray();
        items.Select(item => item.Text("outcome")).ShouldBe(["added", "known", "key_taken", "added", "known"]);
        items[1].Text("id").ShouldBe(earlier);
        items[2].Text("id").ShouldBe(earlier);
        items[4].Text("_id").ShouldBe(items[3].Text("id"));
        (await ListAsync(server, "")).GetProperty("total").GetInt32().ShouldBe(3);
    }

    private static async Task<string?> BulkAndFirstCursorAsync(TestServer server)
    {
        await BulkAsync(server, 2, _ => """{"code":"x"}""");
        return (await ListAsync(server, "?limit=1")).Text("nextCursor");
    }

    private static async Task<List<string>> BulkAsync(TestServer server, int count, Func<int, string> job)
    {
        using var answer = await server.PostAsync("/api/jobs/bulk", $"[{string.Join(',', Enumerable.Range(0, count).Select(job))}]");
        return [.. (await answer.ReadAsync(HttpStatusCode.Accepted)).GetProperty("items").EnumerateArray().Select(item => item.Text("id")!)];
    }

    private static async Task<JsonElement> ListAsync(TestServer server, string query) => await (await server.GetAsync("/api/jobs" + query)).ReadAsync();

    private static List<string> Ids(JsonElement page) => [.. page.GetProperty("items").EnumerateArray().Select(item => item.Text("id")!)];
}
