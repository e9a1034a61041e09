using System.Net;
using Flint.Data;
using Flint.Server.Queue;

namespace Flint.Server.Tests.Queue;

public sealed class AsyncInvokeTests
{
    private const string Url = "/api/functions/f/invoke?mode=async";
    private readonly RecordingQueue _queue = new();

    [Fact]
    public async Task It_is_answered_after_the_commit_with_its_id_and_place()
    {
        await using var server = await StartAsync();
        var committed = false;
        _queue.AfterEnqueue = () =>
        {
            committed = true;
            return Task.CompletedTask;
        };
        using var answer = await server.PostAsync(Url, """{"n":1}""");
        var accepted = await answer.ReadAsync(HttpStatusCode.Accepted);

        committed.ShouldBeTrue();
        var entry = _queue.Entries.ShouldHaveSingleItem();
        (accepted.Text("id"), accepted.Text("status"), accepted.Text("mode"), accepted.Text("function"), accepted.Text("version")).ShouldBe((entry.Row.Id, "PENDING", "async", "f", "$LATEST"));
        answer.Headers.Location!.ToString().ShouldBe("/api/invocations/" + entry.Row.Id);
        (entry.Lane, entry.Priority, entry.Delay, entry.IdempotencyKey, entry.TimeToLive).ShouldBe((Lanes.OfFunction(entry.Row.FunctionId), 0, TimeSpan.Zero, null, null));
        System.Text.Encoding.UTF8.GetString(entry.Row.Payload!.Value.Span).ShouldBe("""{"n":1}""");
        var work = QueuedWork.Parse(entry.WorkJson);
        (work.Function, work.Retry.Retries, work.Retry.MaxAgeMs, work.OnFailure!.DeadLetterList, work.Depth).ShouldBe((new FunctionWork("f", null), 2, 21_600_000L, "default", 0));
        server.Engine.Sandboxes.ShouldBeEmpty();
    }

    [Fact]
    public async Task No_body_is_an_empty_object()
    {
        await using var server = await StartAsync();
        (await server.SendAsync(HttpMethod.Post, Url)).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        System.Text.Encoding.UTF8.GetString(_queue.Entries[0].Row.Payload!.Value.Span).ShouldBe("{}");
    }

    [Fact]
    public async Task Delay_and_priority_are_the_callers_and_the_age_counts_from_when_it_is_due()
    {
        await using var server = await StartAsync();
        (await server.PostAsync(Url + "&delayMs=5000&priority=-7", "1")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        var entry = _queue.Entries.ShouldHaveSingleItem();
        (entry.Delay, entry.Priority, QueuedWork.Parse(entry.WorkJson).Retry.MaxAgeMs).ShouldBe((TimeSpan.FromSeconds(5), -7, 21_605_000L));
    }

    [Fact]
    public async Task The_functions_own_settings_go_with_it()
    {
        await using var server = await StartAsync(""","async":{"maxRetries":0,"onSuccess":{"function":"g:live"},"onFailure":{"none":true}}""");
        await server.PostAsync(Url, "1");
        var work = QueuedWork.Parse(_queue.Entries[0].WorkJson);
        (work.Retry.Retries, work.OnSuccess!.Function, work.OnFailure).ShouldBe((0, "g:live", null));
    }

    [Theory]
    [InlineData("/api/functions/none/invoke?mode=async", 404, "function_not_found", "name")]
    [InlineData("/api/functions/f/invoke?mode=async&qualifier=live", 404, "qualifier_not_found", "qualifier")]
    [InlineData("/api/functions/f/invoke?mode=async&qualifier=7", 404, "qualifier_not_found", "qualifier")]
    [InlineData("/api/functions/f/invoke?mode=later", 400, "invalid_field", "mode")]
    [InlineData(Url + "&delayMs=-1", 400, "out_of_range", "delayMs")]
    [InlineData(Url + "&delayMs=99999999999999", 400, "out_of_range", "delayMs")]
    [InlineData(Url + "&delayMs=1.5", 400, "out_of_range", "delayMs")]
    [InlineData(Url + "&priority=101", 400, "out_of_range", "priority")]
    public async Task What_is_wrong_is_refused_before_anything_is_queued(string url, int status, string code, string field)
    {
        await using var server = await StartAsync();
        await (await server.PostAsync(url, "1")).ShouldBeProblemAsync(status, code, field);
        _queue.Entries.ShouldBeEmpty();
    }

    [Fact]
    public async Task Events_are_json_within_a_limit_of_their_own()
    {
        await using var server = await StartAsync(args: ["--Flint:Queue:MaxAsyncPayloadBytes", "100"]);
        var problem = await (await server.PostAsync(Url, $"\"{new string('x', 99)}\"")).ShouldBeProblemAsync(413, "payload_too_large", "body");
        (problem.Text("limit"), problem.Text("knob")).ShouldBe(("100 bytes", "Flint:Queue:MaxAsyncPayloadBytes"));
        (await server.PostAsync(Url, $"\"{new string('x', 98)}\"")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        await (await server.PostAsync(Url, "{")).ShouldBeProblemAsync(400, "invalid_payload", "body");
        _queue.Entries.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_key_stands_for_one_request()
    {
        await using var server = await StartAsync();
        (await SendAsync(server, Url, "1", "k")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        await (await SendAsync(server, Url, "2", "k")).ShouldBeProblemAsync(409, "idempotency_conflict", "Idempotency-Key");
        await (await SendAsync(server, Url + "&delayMs=1", "1", "k")).ShouldBeProblemAsync(409, "idempotency_conflict");
        foreach (var wrong in new[] { new string('k', 256), "a b" })
        {
            await (await SendAsync(server, Url, "1", wrong)).ShouldBeProblemAsync(400, "invalid_field", "Idempotency-Key");
        }

        _queue.Entries.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_queue_that_is_full_and_a_database_that_is_away_are_told()
    {
        await using var server = await StartAsync(args: ["--Flint:Queue:MaxWaiting", "1"]);
        (await server.PostAsync(Url, "1")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        using var full = await server.PostAsync(Url, "1");
        await full.ShouldBeProblemAsync(429, "throttled");
        full.Headers.RetryAfter.ShouldNotBeNull();

        await using var other = await QueueingServer.StartAsync(new RecordingQueue { BeforeEnqueue = () => throw new DatabaseException("away") });
        await other.DeployAsync("f");
        await (await other.PostAsync(Url, "1")).ShouldBeProblemAsync(503, "store_unavailable");
    }

    private static Task<HttpResponseMessage> SendAsync(TestServer server, string url, string body, string key) => server.SendAsync(HttpMethod.Post, url, body, ("Idempotency-Key", key));

    private async Task<TestServer> StartAsync(string more = "", string[]? args = null)
    {
        var server = await QueueingServer.StartAsync(_queue, null, null, args ?? []);
        await server.DeployAsync("f", more);
        return server;
    }
}
