using System.Collections.Concurrent;
using System.Net;
using System.Text.Json;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.Server.Queue.Workers;
using Flint.Server.Services;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;
using QueueNotices = Flint.Server.Queue.QueueNotices;

namespace Flint.Server.Tests.Queue.Workers;

/// <summary>The whole server with its real store and a scripted engine.</summary>
public sealed class WorkerTests
{
    private const string Job = """{"code":"function main(...args) { return args }","language":"javascript","args":[1,2]}""";

    [Fact]
    public async Task A_job_is_run_and_its_end_is_told_to_who_waits()
    {
        await using var server = await TestServer.StartAsync();
        var job = await WaitAsync(server, await SubmitAsync(server));
        job.Text("status").ShouldBe("COMPLETED");
        job.GetProperty("result").GetRawText().ShouldBe("[1,2]");
        job.GetProperty("attemptCount").GetInt32().ShouldBe(1);
        var spec = server.Engine.Sandboxes.Single().Spec;
        spec.MemoryMb.ShouldBe(512);
        Path.GetFileName(spec.CodeDirectory).ShouldStartWith("job-default-");
    }

    [Fact]
    public async Task An_error_is_tried_again_as_often_as_asked_and_each_attempt_is_told()
    {
        var calls = 0;
        var engine = Engine(_ => ValueTask.FromResult<FakeAnswer>(
            Interlocked.Increment(ref calls) < 3 ? new FakeAnswer.Error("Unhandled", "Error", $"boom {calls}") : FakeAnswer.Json("\"at last\"")));
        await using var server = await TestServer.StartAsync(engine);
        var job = await WaitAsync(server, await SubmitAsync(server, """{"code":"1","retries":2,"backoff":{"type":"fixed","delayMs":1,"jitter":false}}"""));
        job.Text("status").ShouldBe("COMPLETED");
        job.GetProperty("attempts").EnumerateArray().Select(attempt => attempt.Text("status")).ShouldBe(["FAILED", "FAILED", "COMPLETED"]);
        engine.Created.ShouldBe(3);

        calls = 0;
        job = await WaitAsync(server, await SubmitAsync(server));
        (job.Text("status"), job.Text("error")).ShouldBe(("FAILED", "boom 1"));
    }

    [Fact]
    public async Task Cancelling_kills_what_runs_at_once()
    {
        var running = new TestSignal();
        await using var server = await TestServer.StartAsync(Hanging(running));
        var id = await SubmitAsync(server);
        await running.WaitAsync();
        (await (await server.PostAsync($"/api/jobs/{id}/cancel", "{}")).ReadAsync()).Text("status").ShouldBe("CANCELLED");
        await Eventually.True(() => server.Engine.Live == 0, "the sandbox is gone");
        (await JobAsync(server, id)).Text("status").ShouldBe("CANCELLED");
        server.Get<RunningItems>().Running.ShouldBe(0);
    }

    [Fact]
    public async Task A_stop_lets_what_runs_finish()
    {
        var (running, release) = (new TestSignal(), new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        var engine = Engine(async _ =>
        {
            running.Set();
            await release.Task;
            return FakeAnswer.Json("1");
        });
        await AroundAsync(async path =>
        {
            await using var server = await TestServer.StartAsync(engine, path, args: ["--Flint:Worker:Concurrency", "1"]);
            string[] ids = [await SubmitAsync(server), await SubmitAsync(server)];
            await running.WaitAsync();
            var stopped = server.App.StopAsync();
            await Eventually.True(() => stopped.IsCompleted || server.Get<RunningItems>().Running == 1, "it waits");
            stopped.IsCompleted.ShouldBeFalse();
            release.SetResult();
            await stopped.WaitAsync(TimeSpan.FromSeconds(30));
            engine.Created.ShouldBe(1);
            return ids;
        }, async (server, ids) =>
        {
            // The first is finished, and the other was left for the next server.
            (await JobAsync(server, ids[0])).Text("status").ShouldBe("COMPLETED");
            (await WaitAsync(server, ids[1])).GetProperty("attemptCount").GetInt32().ShouldBe(1);
        });
    }

    [Fact]
    public async Task What_a_stop_has_to_kill_is_run_by_the_next_server_as_if_it_had_not_begun()
    {
        var running = new TestSignal();
        await AroundAsync(async path =>
        {
            await using var server = await TestServer.StartAsync(Hanging(running), path, args: ["--Flint:Sandbox:DrainTimeoutMs", "200"]);
            string[] ids = [await SubmitAsync(server), await SubmitAsync(server)];
            await running.WaitAsync();
            await running.WaitAsync();
            await server.App.StopAsync().WaitAsync(TimeSpan.FromSeconds(30));
            server.Engine.Live.ShouldBe(0);
            return ids;
        }, async (server, ids) =>
        {
            foreach (var id in ids)
            {
                var job = await WaitAsync(server, id);
                (job.Text("status"), job.GetProperty("attemptCount").GetInt32()).ShouldBe(("COMPLETED", 1));
            }
        });
    }

    [Fact]
    public async Task Drained_it_takes_nothing_until_it_is_resumed()
    {
        await using var server = await TestServer.StartAsync();
        var id = (await Self(server)).Text("id")!;
        (await PostAsync(server, $"/api/workers/{id}/drain")).Text("status").ShouldBe("draining");
        await Eventually.True(() => server.Get<WorkerLease>().Draining, "it drains");
        var job = await SubmitAsync(server);
        await UntilAsync(async () => (await Self(server)).Text("status") == "drained");
        (await JobAsync(server, job)).Text("status").ShouldBe("PENDING");
        server.Engine.Created.ShouldBe(0);
        await PostAsync(server, $"/api/workers/{id}/resume");
        (await WaitAsync(server, job)).Text("status").ShouldBe("COMPLETED");
        await (await server.PostAsync($"/api/workers/{Guid.NewGuid()}/drain", "{}")).ShouldBeProblemAsync(404, "worker_not_found");
    }

    [Fact]
    public async Task The_list_of_workers_tells_of_this_one()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Worker:Name", "w1", "--Flint:Worker:Concurrency", "5"]);
        var self = await Self(server);
        (self.Text("name"), self.Text("status"), self.GetProperty("running").GetInt32()).ShouldBe(("w1", "active", 0));
        // The machine that tests may be under pressure.
        self.GetProperty("places").GetInt32().ShouldBeInRange(1, 5);
        self.GetProperty("self").GetBoolean().ShouldBeTrue();
        self.GetProperty("leaseLeftMs").GetInt64().ShouldBeInRange(1, 15_000);
        var details = self.GetProperty("details");
        details.GetProperty("cores").GetInt32().ShouldBeGreaterThan(0);
        details.GetProperty("engines").EnumerateArray().Single().GetProperty("runtimes").EnumerateArray().Select(name => name.GetString()).ShouldContain("python3.11");
    }

    [Fact]
    public async Task A_functions_queue_is_paused_and_resumed()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        (await PostAsync(server, "/api/functions/f/queue/pause")).GetProperty("paused").GetBoolean().ShouldBeTrue();
        var id = await EnqueueAsync(server, "f", """{"n":1}""");
        var other = await WaitAsync(server, await SubmitAsync(server));
        other.Text("status").ShouldBe("COMPLETED");
        var view = await (await server.GetAsync("/api/functions/f/queue")).ReadAsync();
        (view.GetProperty("waiting").GetInt32(), view.GetProperty("running").GetInt32()).ShouldBe((1, 0));
        (await PostAsync(server, "/api/functions/f/queue/resume")).GetProperty("paused").GetBoolean().ShouldBeFalse();
        var record = await FinishedAsync(server, id);
        (record.Text("status"), record.Text("function"), record.GetProperty("result").GetRawText()).ShouldBe(("COMPLETED", "f", """{"n":1}"""));
        await (await server.GetAsync("/api/functions/none/queue")).ShouldBeProblemAsync(404, "function_not_found");
    }

    [Fact]
    public async Task A_queued_function_that_is_gone_fails_with_a_clear_error()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        await PostAsync(server, "/api/functions/f/queue/pause");
        var lane = await LaneAsync(server, "f");
        var id = await EnqueueAsync(server, "f", "{}");
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await server.Get<IQueueStore>().SetLaneAsync(Tenants.Default, lane, false, null, CancellationToken.None);
        server.Get<QueueNotices>().Enqueued();
        var record = await FinishedAsync(server, id);
        record.Text("status").ShouldBe("FAILED");
        record.GetProperty("error").Text("type").ShouldBe("FunctionNotFound");
    }

    [Fact]
    public async Task Many_jobs_with_few_places_all_run_once()
    {
        var seen = new ConcurrentDictionary<string, int>();
        var engine = Engine(e =>
        {
            seen.AddOrUpdate(e.RequestId, 1, (_, count) => count + 1);
            return ValueTask.FromResult<FakeAnswer>(new FakeAnswer.Result(e.Payload));
        });
        await using var server = await TestServer.StartAsync(engine, args: ["--Flint:Worker:Concurrency", "4"]);
        var ids = await Task.WhenAll(Enumerable.Range(0, 200).Select(n => SubmitAsync(server, $$"""{"code":"// {{n}}","args":[{{n}}]}""")));
        foreach (var (id, n) in ids.Select((id, n) => (id, n)))
        {
            (await WaitAsync(server, id)).GetProperty("result").GetRawText().ShouldBe($"[{n}]");
        }

        seen.Values.ShouldAllBe(count => count == 1);
        engine.MostLive.ShouldBeLessThanOrEqualTo(8);
    }

    [Fact]
    public async Task A_worker_alone_answers_health_and_nothing_else()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Roles", "worker"]);
        (await server.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.GetAsync("/health/ready")).StatusCode.ShouldBe(HttpStatusCode.OK);
        foreach (var path in (string[])["/api/functions", "/api/jobs", "/api/workers", "/api/runtimes", "/openapi/v1.json"])
        {
            await (await server.GetAsync(path)).ShouldBeProblemAsync(404, "not_found");
        }

        await server.Get<QueueWriter>().EnqueueAsync(Entry("", new QueuedWork { Job = WorkerBench.Job().Job, Retry = WorkerBench.NoRetries }, Lanes.Jobs, "job", "[]"), CancellationToken.None);
        await Eventually.True(() => server.Engine.Created == 1, "it works");
    }

    private static FakeEngine Engine(Func<FakeEvent, ValueTask<FakeAnswer>> onEvent) => new() { Script = _ => new FakeScript { OnEvent = onEvent } };

    private static FakeEngine Hanging(TestSignal running) => Engine(_ =>
    {
        running.Set();
        return ValueTask.FromResult<FakeAnswer>(new FakeAnswer.Hang());
    });

    private static async Task<string> SubmitAsync(TestServer server, string job = Job) =>
        (await (await server.PostAsync("/api/jobs", job)).ReadAsync(HttpStatusCode.Accepted)).Text("id")!;

    private static async Task<JsonElement> JobAsync(TestServer server, string id) => await (await server.GetAsync($"/api/jobs/{id}")).ReadAsync();

    private static async Task<JsonElement> WaitAsync(TestServer server, string id) => await (await server.GetAsync($"/api/jobs/{id}/wait?timeoutMs=30000")).ReadAsync();

    private static async Task<JsonElement> PostAsync(TestServer server, string path) => await (await server.PostAsync(path, "{}")).ReadAsync();

    private static async Task<JsonElement> Self(TestServer server)
    {
        await Eventually.True(() => server.Get<WorkerLease>().Term is not null, "it is registered");
        return (await (await server.GetAsync("/api/workers")).ReadAsync()).GetProperty("items").EnumerateArray().Single();
    }

    private static async Task<JsonElement> FinishedAsync(TestServer server, string id)
    {
        JsonElement record = default;
        await UntilAsync(async () => (record = await (await server.GetAsync($"/api/invocations/{id}")).ReadAsync()).Text("status") is not ("PENDING" or "RUNNING"));
        return record;
    }

    private static async Task<string> LaneAsync(TestServer server, string name)
    {
        var entry = await server.Get<FunctionCatalog>().ResolveAsync(Tenants.Default, name, null, CancellationToken.None);
        return Lanes.OfFunction(entry.Spec.FunctionId);
    }

    private static async Task<string> EnqueueAsync(TestServer server, string name, string payload)
    {
        var work = new QueuedWork { Function = new FunctionWork(name, null), Retry = WorkerBench.NoRetries };
        var lane = await LaneAsync(server, name);
        var entry = Entry(name, work, lane, "async", payload);
        entry = entry with { Row = entry.Row with { FunctionId = lane["function:".Length..] } };
        return (await server.Get<QueueWriter>().EnqueueAsync(entry, CancellationToken.None)).Id;
    }

    private static QueueEntry Entry(string function, QueuedWork work, string lane, string mode, string payload)
    {
        var now = TimeProvider.System.Now();
        return new QueueEntry
        {
            Row = new InvocationRow
            {
                TenantId = Tenants.Default,
                Id = new InvocationIds().Next(now),
                FunctionId = "",
                FunctionName = function,
                Version = Names.Latest,
                Mode = mode,
                Status = "PENDING",
                CreatedAt = now,
                Payload = System.Text.Encoding.UTF8.GetBytes(payload),
            },
            WorkJson = work.ToJson(),
            Source = work.Job is null ? null : "function main() {}"u8.ToArray(),
            Lane = lane,
        };
    }

    /// <summary>Looks again and again, bounded.</summary>
    private static async Task UntilAsync(Func<Task<bool>> look)
    {
        var began = TimeProvider.System.GetTimestamp();
        while (!await look())
        {
            TimeProvider.System.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromSeconds(20));
        }
    }

    /// <summary>One server does the first part, and the next one on the same data the second.</summary>
    private static async Task AroundAsync(Func<string, Task<string[]>> first, Func<TestServer, string[], Task> second)
    {
        var path = Directory.CreateTempSubdirectory("flint-worker-").FullName;
        try
        {
            var ids = await first(path);
            await using var server = await TestServer.StartAsync(dataPath: path);
            await second(server, ids);
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }
}
