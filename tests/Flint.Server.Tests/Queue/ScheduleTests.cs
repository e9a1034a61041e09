using System.Net;
using System.Text.Json;
using Flint.Data;
using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.Server.Queue.Schedules;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Queue;

/// <summary>Schedules through the API, their ticker called by hand at a clock that stands.</summary>
public sealed class ScheduleTests
{
    private readonly RecordingQueue _queue = new();
    private readonly ManualTimeProvider _time = QueueingServer.Noon();

    [Fact]
    public async Task A_schedule_is_created_listed_changed_and_deleted()
    {
        await using var server = await StartAsync();
        using var answer = await server.PostAsync("/api/schedules", """
            {"name":"nightly","function":"f","expression":"0 3 * * *","timeZone":"Europe/Berlin","payload":{"a":[1]},"description":"d","missedRuns":"one"}
            """);
        var created = await answer.ReadAsync(HttpStatusCode.Created);
        answer.Headers.Location!.ToString().ShouldBe("/api/schedules/nightly");
        var revision = created.Text("revisionId")!;
        answer.Headers.ETag!.Tag.ShouldBe($"\"{revision}\"");
        (created.Text("nextAt"), created.GetProperty("enabled").GetBoolean(), created.Has("rateMs"), created.Has("job")).ShouldBe(("2026-01-02T02:00:00.000Z", true, false, false));
        created.GetProperty("payload").GetRawText().ShouldBe("""{"a":[1]}""");
        await (await server.PostAsync("/api/schedules", """{"name":"nightly","function":"f","rateMs":1000}""")).ShouldBeProblemAsync(409, "schedule_exists", "name");
        await PostAsync(server, """{"name":"often","function":"f","rateMs":60000,"enabled":false}""");

        var listed = (await (await server.GetAsync("/api/schedules?limit=1")).ReadAsync()).GetProperty("items");
        listed[0].GetRawText().ShouldBe(created.GetRawText());
        (await (await server.GetAsync("/api/schedules?function=g")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(0);
        (await (await server.GetAsync("/api/schedules/often")).ReadAsync()).Has("nextAt").ShouldBeFalse();

        await (await server.SendAsync(HttpMethod.Patch, "/api/schedules/nightly", """{"rateMs":90000}""", ("If-Match", "\"other\""))).ShouldBeProblemAsync(412, "revision_mismatch");
        var changed = await (await server.SendAsync(HttpMethod.Patch, "/api/schedules/nightly", """{"rateMs":90000}""", ("If-Match", $"\"{revision}\""))).ReadAsync();
        (changed.Has("expression"), changed.GetProperty("rateMs").GetInt64(), changed.Text("nextAt"), changed.Text("revisionId") != revision).ShouldBe((false, 90_000L, "2026-01-01T12:01:30.000Z", true));
        changed.GetProperty("payload").GetRawText().ShouldBe("""{"a":[1]}""");

        (await server.SendAsync(HttpMethod.Delete, "/api/schedules/nightly")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await (await server.GetAsync("/api/schedules/nightly")).ShouldBeProblemAsync(404, "schedule_not_found", "name");
        await (await server.SendAsync(HttpMethod.Delete, "/api/schedules/nightly")).ShouldBeProblemAsync(404, "schedule_not_found");
    }

    [Theory]
    [InlineData("""{"name":"s","function":"f"}""", 400, "invalid_field", "expression")]
    [InlineData("""{"name":"s","rateMs":1000}""", 400, "invalid_field", "function")]
    [InlineData("""{"name":"s","function":"f","rateMs":1000,"expression":"* * * * *"}""", 400, "invalid_field", "expression")]
    [InlineData("""{"name":"s","function":"f","job":{"code":"x"},"rateMs":1000}""", 400, "invalid_field", "function")]
    [InlineData("""{"function":"f","rateMs":1000}""", 400, "missing_field", "name")]
    [InlineData("""{"name":"a b","function":"f","rateMs":1000}""", 400, "invalid_name", "name")]
    [InlineData("""{"name":"s","function":"f","rateMs":999}""", 400, "out_of_range", "rateMs", "Flint:Schedules:MinRateMs")]
    [InlineData("""{"name":"s","function":"f","expression":"61 * * * *"}""", 400, "invalid_cron", "expression")]
    [InlineData("""{"name":"s","function":"f","expression":"0 0 30 2 *","enabled":false}""", 400, "invalid_cron", "expression")]
    [InlineData("""{"name":"s","function":"f","expression":"* * * * *","timeZone":"Mars"}""", 400, "invalid_time_zone", "timeZone")]
    [InlineData("""{"name":"s","function":"f","rateMs":1000,"missedRuns":"some"}""", 400, "invalid_field", "missedRuns")]
    [InlineData("""{"name":"s","function":"f","rateMs":1000,"qualifier":"a b"}""", 400, "invalid_qualifier", "qualifier")]
    [InlineData("""{"name":"s","function":"f","rateMs":1000,"qualifier":"live"}""", 404, "qualifier_not_found", "qualifier")]
    [InlineData("""{"name":"s","function":"none","rateMs":1000}""", 404, "function_not_found", "name")]
    [InlineData("""{"name":"s","function":"f","rateMs":1000,"unknown":1}""", 400, "unknown_field", "unknown")]
    [InlineData("""{"name":"s","function":"f","rateMs":1000,"payload":"0123456789"}""", 413, "payload_too_large", "payload", "Flint:Queue:MaxAsyncPayloadBytes")]
    [InlineData("""{"name":"s","job":{"code":"x","delayMs":5},"rateMs":1000}""", 400, "invalid_field", "job.delayMs")]
    [InlineData("""{"name":"s","job":{"code":"x","idempotencyKey":"k"},"rateMs":1000}""", 400, "invalid_field", "job.idempotencyKey")]
    [InlineData("""{"name":"s","job":{"code":"x","language":"cobol"},"rateMs":1000}""", 400, null, "job.language")]
    [InlineData("""{"name":"s","job":{},"rateMs":1000}""", 400, null, "job.code")]
    [InlineData("""{"name":"s","job":{"code":"x"},"rateMs":1000,"payload":1}""", 400, "invalid_field", "payload")]
    public async Task What_is_wrong_is_named(string body, int status, string? code, string field, string? knob = null)
    {
        await using var server = await StartAsync("--Flint:Queue:MaxAsyncPayloadBytes", "10");
        using var answer = await server.PostAsync("/api/schedules", body);
        var text = await answer.Content.ReadAsStringAsync();
        ((int)answer.StatusCode).ShouldBe(status, text);
        var problem = JsonDocument.Parse(text).RootElement;
        (problem.Text("code"), problem.Text("field"), problem.Text("knob") ?? knob).ShouldBe((code ?? problem.Text("code"), field, knob ?? problem.Text("knob")), text);
        (await (await server.GetAsync("/api/schedules")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(0);
    }

    [Fact]
    public async Task There_are_only_as_many_as_may_be()
    {
        await using var server = await StartAsync("--Flint:Schedules:MaxCount", "1");
        await PostAsync(server, """{"name":"a","function":"f","rateMs":1000}""");
        (await (await server.PostAsync("/api/schedules", """{"name":"b","function":"f","rateMs":1000}""")).ShouldBeProblemAsync(409, "schedule_limit")).Text("knob").ShouldBe("Flint:Schedules:MaxCount");
    }

    [Fact]
    public async Task Due_times_can_be_looked_at_beforehand()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","expression":"0 3 * * *","timeZone":"America/New_York","enabled":false}""");
        (await (await server.GetAsync("/api/schedules/s/next?count=2")).ReadAsync()).GetRawText().ShouldBe("""{"items":["2026-01-02T08:00:00.000Z","2026-01-03T08:00:00.000Z"]}""");
        (await (await server.GetAsync("/api/schedules/s/next")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(5);
        foreach (var wrong in new[] { "0", "101", "x", "-1" })
        {
            await (await server.GetAsync($"/api/schedules/s/next?count={wrong}")).ShouldBeProblemAsync(400, "invalid_field", "count");
        }
    }

    [Fact]
    public async Task A_due_schedule_runs_once_and_goes_on()
    {
        await using var server = await StartAsync();
        await server.PostAsync("/api/functions/f/versions", "{}");
        await server.PostAsync("/api/functions/f/aliases", """{"name":"live","version":1}""");
        await PostAsync(server, """{"name":"s","function":"f","qualifier":"live","expression":"*/5 * * * *"}""");
        var ticker = server.Get<ScheduleTicker>();
        (await ticker.RunOnceAsync(default)).Handled.ShouldBe(0);

        _time.Advance(TimeSpan.FromMinutes(5));
        var run = await ticker.RunOnceAsync(default);
        (run.Handled, run.NextIn).ShouldBe((1, TimeSpan.FromSeconds(10)));
        (await ticker.RunOnceAsync(default)).Handled.ShouldBe(0);

        var entry = _queue.Entries.ShouldHaveSingleItem();
        (entry.Row.FunctionName, entry.Row.Version, entry.Row.Qualifier, entry.Row.Mode, entry.Row.Status).ShouldBe(("f", "1", "live", "async", "PENDING"));
        Text(entry).ShouldBe("""{"schedule":"s","dueAt":"2026-01-01T12:05:00.000Z"}""");
        entry.Tags.ShouldBe(["schedule:s"]);
        (entry.IdempotencyKey!.EndsWith(":1767269100000", StringComparison.Ordinal), entry.IdempotencyLifetime).ShouldBe((true, TimeSpan.FromDays(30)));
        QueuedWork.Parse(entry.WorkJson).Function.ShouldBe(new FunctionWork("f", "live"));
        var view = await GetAsync(server);
        (view.Text("lastAt"), view.Text("lastInvocationId"), view.Text("nextAt"), view.Has("lastError")).ShouldBe(("2026-01-01T12:05:00.000Z", entry.Row.Id, "2026-01-01T12:10:00.000Z", false));
    }

    [Fact]
    public async Task The_loop_sleeps_until_the_next_due_time()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":4000}""");
        (await server.Get<ScheduleTicker>().RunOnceAsync(default)).NextIn.ShouldBe(TimeSpan.FromSeconds(4));
    }

    [Fact]
    public async Task Many_servers_at_once_make_one_run_for_each_due_time()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":60000}""");
        for (var minute = 1; minute <= 20; minute++)
        {
            _time.Advance(TimeSpan.FromMinutes(1));
            var tickers = Enumerable.Range(0, 6).Select(_ => Another(server)).ToArray();
            // All of them have read that it is due before one of them has set it on.
            var read = new TaskCompletionSource();
            var waiting = 0;
            _queue.BeforeEnqueue = () =>
            {
                if (Interlocked.Increment(ref waiting) == tickers.Length)
                {
                    read.SetResult();
                }

                return read.Task;
            };
            await Task.WhenAll(tickers.Select(ticker => Task.Run(() => ticker.RunOnceAsync(default))));
            _queue.Entries.Count.ShouldBe(minute);
            Array.ForEach(tickers, ticker => ticker.Dispose());
        }

        _queue.Entries.Select(entry => entry.IdempotencyKey).Distinct().Count().ShouldBe(20);
        (await GetAsync(server)).Text("nextAt").ShouldBe("2026-01-01T12:21:00.000Z");
    }

    [Fact]
    public async Task A_server_that_dies_after_it_enqueued_leaves_a_run_that_is_not_repeated()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":60000}""");
        _time.Advance(TimeSpan.FromMinutes(1));
        _queue.AfterEnqueue = () => throw new DatabaseException("gone");
        await Should.ThrowAsync<DatabaseException>(() => server.Get<ScheduleTicker>().RunOnceAsync(default));
        (await GetAsync(server)).Text("nextAt").ShouldBe("2026-01-01T12:01:00.000Z");

        _queue.AfterEnqueue = () => Task.CompletedTask;
        await server.Get<ScheduleTicker>().RunOnceAsync(default);
        var view = await GetAsync(server);
        (_queue.Entries.Count, view.Text("nextAt"), view.Text("lastInvocationId")).ShouldBe((1, "2026-01-01T12:02:00.000Z", _queue.Entries[0].Row.Id));
    }

    [Fact]
    public async Task A_change_while_it_is_due_is_not_overwritten()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":60000}""");
        _time.Advance(TimeSpan.FromMinutes(1));
        _queue.AfterEnqueue = async () => (await server.SendAsync(HttpMethod.Patch, "/api/schedules/s", """{"expression":"0 18 * * *"}""")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await server.Get<ScheduleTicker>().RunOnceAsync(default);
        (await GetAsync(server)).Text("nextAt").ShouldBe("2026-01-01T18:00:00.000Z");
    }

    [Fact]
    public async Task A_schedule_of_a_deleted_function_says_so_and_goes_on()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":60000}""");
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        _time.Advance(TimeSpan.FromMinutes(1));
        await server.Get<ScheduleTicker>().RunOnceAsync(default);
        var view = await GetAsync(server);
        (view.Text("lastError"), view.Text("nextAt"), view.Text("lastInvocationId")).ShouldBe(("There is no function of this name.", "2026-01-01T12:02:00.000Z", _queue.Entries[0].Row.Id));
        await (await server.PostAsync("/api/schedules/s/run", "")).ShouldBeProblemAsync(404, "function_not_found");

        await server.DeployAsync("f");
        _time.Advance(TimeSpan.FromMinutes(1));
        await server.Get<ScheduleTicker>().RunOnceAsync(default);
        (await GetAsync(server)).Has("lastError").ShouldBeFalse();
    }

    [Theory]
    [InlineData("skip", 0)]
    [InlineData("one", 1)]
    [InlineData("all", 4)]
    public async Task What_no_server_saw_goes_by_the_policy(string missedRuns, int runs)
    {
        await using var server = await StartAsync();
        await PostAsync(server, $$"""{"name":"s","function":"f","expression":"0 * * * *","missedRuns":"{{missedRuns}}"}""");
        _time.Advance(TimeSpan.FromMinutes(270));
        await server.Get<ScheduleTicker>().RunOnceAsync(default);
        _queue.Entries.Count.ShouldBe(runs);
        var view = await GetAsync(server);
        (view.Text("nextAt"), view.Has("lastError"), view.Text("lastAt")).ShouldBe(("2026-01-01T17:00:00.000Z", runs == 0, runs == 0 ? null : "2026-01-01T16:00:00.000Z"));
    }

    [Fact]
    public async Task One_more_run_now_leaves_the_due_times_alone()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":60000,"payload":[7],"enabled":false}""");
        for (var i = 0; i < 2; i++)
        {
            using var answer = await server.PostAsync("/api/schedules/s/run", "");
            var accepted = await answer.ReadAsync(HttpStatusCode.Accepted);
            (accepted.Text("status"), accepted.Text("function")).ShouldBe(("PENDING", "f"));
            answer.Headers.Location!.ToString().ShouldBe("/api/invocations/" + accepted.Text("id"));
            _queue.Entries[i].Row.Id.ShouldBe(accepted.Text("id"));
        }

        (Text(_queue.Entries[0]), _queue.Entries[0].IdempotencyKey).ShouldBe(("[7]", null));
        (await GetAsync(server)).Has("lastAt").ShouldBeFalse();
    }

    [Fact]
    public async Task Disabled_it_waits_and_enabled_it_counts_from_then()
    {
        await using var server = await StartAsync();
        await PostAsync(server, """{"name":"s","function":"f","rateMs":60000}""");
        await server.SendAsync(HttpMethod.Patch, "/api/schedules/s", """{"enabled":false}""");
        _time.Advance(TimeSpan.FromMinutes(10.5));
        (await server.Get<ScheduleTicker>().RunOnceAsync(default)).Handled.ShouldBe(0);
        (await (await server.SendAsync(HttpMethod.Patch, "/api/schedules/s", """{"enabled":true}""")).ReadAsync()).Text("nextAt").ShouldBe("2026-01-01T12:11:30.000Z");
    }

    [Fact]
    public async Task A_job_runs_by_schedule_too()
    {
        await using var server = await StartAsync();
        var created = await PostAsync(server, """{"name":"s","rateMs":60000,"job":{"code":"def main(a): return a","language":"python","args":[{"x":1}],"tags":["mine"],"timeout":5000}}""");
        created.GetProperty("job").GetProperty("args").GetRawText().ShouldBe("""[{"x":1}]""");
        _time.Advance(TimeSpan.FromMinutes(1));
        await server.Get<ScheduleTicker>().RunOnceAsync(default);
        var entry = _queue.Entries.ShouldHaveSingleItem();
        (entry.Row.Mode, Text(entry), string.Join(',', entry.Tags)).ShouldBe(("job", """[{"x":1}]""", "mine,schedule:s"));
        QueuedWork.Parse(entry.WorkJson).Job!.TimeoutMs.ShouldBe(5000);

        using var answer = await server.PostAsync("/api/schedules/s/run", "");
        var accepted = await answer.ReadAsync(HttpStatusCode.Accepted);
        (accepted.Text("mode"), accepted.Has("function")).ShouldBe(("job", false));
        answer.Headers.Location!.ToString().ShouldBe("/api/jobs/" + accepted.Text("id"));
    }

    private async Task<TestServer> StartAsync(params string[] args)
    {
        var server = await QueueingServer.StartAsync(_queue, _time, null, args);
        await server.DeployAsync("f");
        return server;
    }

    /// <summary>The ticker of another server on the same database.</summary>
    private ScheduleTicker Another(TestServer server) => new(
        server.Get<Flint.Data.Catalog.ICatalogStore>(), server.Get<QueueWriter>(), server.Get<ScheduleTargets>(), server.Get<ScheduleOptions>(), _time,
        Microsoft.Extensions.Logging.Abstractions.NullLogger<ScheduleTicker>.Instance);

    private static async Task<JsonElement> PostAsync(TestServer server, string body) => await (await server.PostAsync("/api/schedules", body)).ReadAsync(HttpStatusCode.Created);

    private static async Task<JsonElement> GetAsync(TestServer server) => await (await server.GetAsync("/api/schedules/s")).ReadAsync();

    private static string Text(QueueEntry entry) => System.Text.Encoding.UTF8.GetString(entry.Row.Payload!.Value.Span);
}
