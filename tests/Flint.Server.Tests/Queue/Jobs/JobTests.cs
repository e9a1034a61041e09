using System.Net;
using System.Text.Json;
using Flint.Data.Queue;
using Flint.Server.Queue;
using QueueNotices = Flint.Server.Queue.QueueNotices;

namespace Flint.Server.Tests.Queue.Jobs;

/// <summary>Jobs over HTTP, as a client sees them. Nothing runs them here: a test plays the worker where one is needed.</summary>
public sealed class JobTests
{
    private const string Code = "function main(a, b) {\n  return a + \"\u00e4\" + b\n}";

    [Fact]
    public async Task A_job_is_taken_and_read_back_as_it_was_given()
    {
        await using var server = await JobServer.StartAsync();
        using var answer = await server.PostAsync("/api/jobs", $$"""{"code":{{JsonSerializer.Serialize(Code)}},"args":[1, {"x":[true,null]},1e5],"timeout":5000}""");
        var job = await answer.ReadAsync(HttpStatusCode.Accepted);
        var id = job.Text("_id")!;
        answer.Headers.Location!.OriginalString.ShouldBe("/api/jobs/" + id);
        job.Text("id").ShouldBe(id);
        foreach (var seen in new[] { job, await server.GetJobAsync(id) })
        {
            seen.Text("code").ShouldBe(Code);
            seen.GetProperty("args").GetRawText().ShouldBe("""[1, {"x":[true,null]},1e5]""");
            seen.Text("status").ShouldBe("PENDING");
            seen.Text("createdAt").ShouldBe(job.Text("createdAt"));
            seen.GetProperty("timeout").GetInt32().ShouldBe(5000);
            seen.GetProperty("memoryMb").GetInt32().ShouldBe(512);
            seen.GetProperty("cpus").GetDouble().ShouldBe(1);
            seen.Text("language").ShouldBe("javascript");
            seen.Text("runtime").ShouldBe("nodejs20");
            seen.Text("network").ShouldBe("none");
            seen.Text("globals").ShouldBe("full");
            seen.GetProperty("attemptCount").GetInt32().ShouldBe(0);
            seen.GetProperty("retries").GetInt32().ShouldBe(0);
            seen.Has("startedAt").ShouldBeFalse();
            seen.Has("result").ShouldBeFalse();
        }
    }

    [Fact]
    public async Task Every_setting_is_kept_shown_and_repeated()
    {
        await using var server = await JobServer.StartAsync();
        const string Settings = """
            "language":"python","handler":"main.run","timeout":1234,"memoryMb":256,"cpus":0.25,"network":"egress","globals":"limited","environment":{"A":"1","B":"zwei"},"priority":-7,
            "retries":3,"backoff":{"type":"fixed","delayMs":10,"maxDelayMs":20,"jitter":false},"ttlMs":600000,"tags":["one","two","one"],"concurrencyKey":"k","concurrencyLimit":4,
            "rateLimit":{"starts":5,"periodMs":6000}
            """;
        var id = await server.SubmitAsync($$"""{"code":"def run(): pass","args":[1],"delayMs":60000,{{Settings}}}""");
        var first = await server.GetJobAsync(id);
        using var again = await server.PostAsync($"/api/jobs/{id}/rerun", "{}");
        var second = await again.ReadAsync(HttpStatusCode.Accepted);
        second.Text("id").ShouldNotBe(id);
        second.Has("runAt").ShouldBeFalse("a delay is not repeated");
        DateTimeOffset.Parse(first.Text("runAt")!).ShouldBe(DateTimeOffset.Parse(first.Text("createdAt")!).AddMinutes(1), TimeSpan.FromSeconds(20));
        foreach (var job in new[] { first, second, await server.GetJobAsync(second.Text("id")!) })
        {
            var shown = string.Join('\n', job.EnumerateObject().Where(member => member.Name is not ("_id" or "id" or "createdAt" or "runAt" or "attempts" or "logs" or "logLines")).Select(member => $"{member.Name}={member.Value.GetRawText()}"));
            shown.ShouldBe("""
                status="PENDING"
                code="def run(): pass"
                args=[1]
                language="python"
                runtime="python3.11"
                handler="main.run"
                timeout=1234
                memoryMb=256
                cpus=0.25
                network="egress"
                globals="limited"
                environment={"A":"1","B":"zwei"}
                priority=-7
                tags=["one","two"]
                retries=3
                backoff={"type":"fixed","delayMs":10,"maxDelayMs":20,"jitter":false}
                ttlMs=600000
                concurrencyKey="k"
                concurrencyLimit=4
                rateLimit={"starts":5,"periodMs":6000}
                engine="native"
                attemptCount=0
                """.ReplaceLineEndings("\n"));
        }

        var lane = await server.Get<IQueueStore>().LaneAsync("default", Lanes.OfKey("k"), CancellationToken.None);
        lane.Limits.ShouldBe(new LaneLimits(4, new LaneRate(5, TimeSpan.FromSeconds(6))));
    }

    [Fact]
    public async Task A_repetition_takes_what_its_body_changes()
    {
        await using var server = await JobServer.StartAsync();
        var id = await server.SubmitAsync("""{"files":{"main.py":"def main(a): pass","lib/x.py":""},"language":"python","args":[1],"concurrencyKey":"k","concurrencyLimit":4,"tags":["t"],"retries":2}""");
        var changed = await server.RerunAsync(id, """{"code":"def main(b): pass","args":[2],"concurrencyKey":null,"retries":null,"timeout":7}""");
        changed.Text("code").ShouldBe("def main(b): pass");
        changed.Has("fileNames").ShouldBeFalse();
        changed.GetProperty("args").GetRawText().ShouldBe("[2]");
        changed.Has("concurrencyKey").ShouldBeFalse();
        changed.GetProperty("retries").GetInt32().ShouldBe(0);
        changed.GetProperty("timeout").GetInt32().ShouldBe(7);
        changed.GetProperty("tags").GetRawText().ShouldBe("""["t"]""");
        changed.Text("language").ShouldBe("python");

        var same = await server.RerunAsync(id, null);
        same.GetProperty("fileNames").GetRawText().ShouldBe("""["main.py","lib/x.py"]""");
        same.GetProperty("concurrencyLimit").GetInt32().ShouldBe(4);
        await (await server.PostAsync($"/api/jobs/{id}/rerun", """{"timeout":0}""")).ShouldBeProblemAsync(400, "out_of_range", "timeout");
        await (await server.PostAsync($"/api/jobs/{Guid.NewGuid():d}/rerun", "{}")).ShouldBeProblemAsync(404, "job_not_found", "id");
    }

    [Fact]
    public async Task A_finished_job_shows_its_result_log_error_and_attempts()
    {
        await using var server = await JobServer.StartAsync();
        var good = await server.SubmitAsync("""{"code":"x"}""");
        await server.FinishAsync(good, row => row with
        {
            Status = "COMPLETED",
            Result = """{"a":[1,2]}"""u8.ToArray(),
            DurationMs = 12.5,
            Log = """
                {"t":0,"s":"platform","m":"START"}
                {"t":1,"s":"stdout","m":"one\n"}
                {"t":2,"s":"stderr","m":"two"}

                """u8.ToArray(),
        });
        var job = await server.GetJobAsync(good);
        job.Text("status").ShouldBe("COMPLETED");
        job.GetProperty("result").GetRawText().ShouldBe("""{"a":[1,2]}""");
        job.Text("logs").ShouldBe("one\ntwo");
        job.GetProperty("logLines").GetArrayLength().ShouldBe(3);
        job.GetProperty("executionTime").GetDouble().ShouldBe(12.5);
        job.Text("startedAt").ShouldNotBeNull();
        job.Text("completedAt").ShouldNotBeNull();
        job.GetProperty("attemptCount").GetInt32().ShouldBe(1);
        job.GetProperty("attempts")[0].Text("status").ShouldBe("COMPLETED");
        job.Has("error").ShouldBeFalse();
        (await server.Http.GetStringAsync($"/api/jobs/{good}/logs")).ShouldBe("1970-01-01T00:00:00.000Z platform START\n1970-01-01T00:00:00.001Z stdout one\n1970-01-01T00:00:00.002Z stderr two\n");

        var bad = await server.SubmitAsync("""{"code":"x"}""");
        await server.FinishAsync(bad, row => row with { Status = "FAILED", ErrorType = "Unhandled", ErrorJson = """{"type":"Unhandled","name":"E","message":"it \"broke\"","stackTrace":["at x"]}""" });
        job = await server.GetJobAsync(bad);
        job.Text("status").ShouldBe("FAILED");
        job.Text("error").ShouldBe("it \"broke\"");
        job.GetProperty("errorDetail").GetProperty("stackTrace").GetArrayLength().ShouldBe(1);
        var listed = (await (await server.GetAsync("/api/jobs?status=failed")).ReadAsync()).GetProperty("items").EnumerateArray().Single();
        listed.Text("id").ShouldBe(bad);
        listed.Text("error").ShouldBe("it \"broke\"");
        listed.Has("code").ShouldBeFalse();
        listed.Has("result").ShouldBeFalse();
    }

    [Fact]
    public async Task Jobs_are_no_invocations_of_functions_and_those_are_no_jobs()
    {
        await using var server = await JobServer.StartAsync();
        await server.DeployAsync("f");
        var invoked = (await server.InvokeAsync("f")).Text("id");
        var id = await server.SubmitAsync("""{"code":"x"}""");
        (await (await server.GetAsync("/api/jobs")).ReadAsync()).GetProperty("items").EnumerateArray().Select(item => item.Text("id")).ShouldBe([id]);
        foreach (var path in new[] { $"/api/jobs/{invoked}", $"/api/jobs/{invoked}/logs", "/api/jobs/nothing", $"/api/jobs/{Guid.NewGuid():d}", $"/api/jobs/{Guid.NewGuid():d}/wait?timeoutMs=0" })
        {
            await (await server.GetAsync(path)).ShouldBeProblemAsync(404, "job_not_found");
        }

        await (await server.PostAsync($"/api/jobs/{invoked}/cancel", "{}")).ShouldBeProblemAsync(404, "job_not_found");
        (await (await server.GetAsync($"/api/invocations/{id}")).ReadAsync()).Text("mode").ShouldBe("job");
    }

    [Fact]
    public async Task A_waiting_job_is_cancelled_at_once_a_running_one_is_fenced_and_its_worker_told_and_a_finished_one_stays()
    {
        await using var server = await JobServer.StartAsync();
        var told = new List<string>();
        server.Get<QueueNotices>().Cancelled += (tenant, id) => told.Add($"{tenant} {id}");
        var waiting = await server.SubmitAsync("""{"code":"x"}""");
        (await (await server.PostAsync($"/api/jobs/{waiting}/cancel", "")).ReadAsync()).Text("status").ShouldBe("CANCELLED");
        told.ShouldBe([$"default {waiting}"]);
        var running = await server.SubmitAsync("""{"code":"x"}""");
        var item = await server.ClaimAsync();
        item.Id.ShouldBe(running);
        var seen = await server.GetJobAsync(running);
        seen.Text("status").ShouldBe("RUNNING");
        seen.GetProperty("attemptCount").GetInt32().ShouldBe(1);
        seen.Text("startedAt").ShouldNotBeNull();
        (await (await server.PostAsync($"/api/jobs/{running}/cancel", "")).ReadAsync()).Text("status").ShouldBe("CANCELLED");
        told.ShouldBe([$"default {waiting}", $"default {running}"]);
        (await server.SettleAsync(item, row => row with { Status = "COMPLETED" })).ShouldBeFalse("the lease is gone");

        foreach (var id in new[] { waiting, running })
        {
            var problem = await (await server.PostAsync($"/api/jobs/{id}/cancel", "")).ShouldBeProblemAsync(409, "job_finished", "id");
            problem.Text("invocationStatus").ShouldBe("CANCELLED");
        }
    }

    [Fact]
    public async Task Who_waits_is_answered_when_the_job_ends_or_when_the_time_is_over()
    {
        await using var server = await JobServer.StartAsync();
        var id = await server.SubmitAsync("""{"code":"x"}""");
        (await (await server.GetAsync($"/api/jobs/{id}/wait?timeoutMs=0")).ReadAsync()).Text("status").ShouldBe("PENDING");
        (await (await server.GetAsync($"/api/jobs/{id}/wait?timeoutMs=20")).ReadAsync()).Text("status").ShouldBe("PENDING");
        var waits = Enumerable.Range(0, 3).Select(_ => server.GetAsync($"/api/jobs/{id}/wait?timeoutMs=120000")).ToArray();
        await server.FinishAsync(id, row => row with { Status = "COMPLETED", Result = "7"u8.ToArray() });
        foreach (var wait in waits)
        {
            (await (await wait).ReadAsync()).GetProperty("result").GetInt32().ShouldBe(7);
        }

        (await (await server.GetAsync($"/api/jobs/{id}/wait")).ReadAsync()).Text("status").ShouldBe("COMPLETED");
        foreach (var bad in new[] { "-1", "120001", "x", "1.5" })
        {
            await (await server.GetAsync($"/api/jobs/{id}/wait?timeoutMs={bad}")).ShouldBeProblemAsync(400, "invalid_field", "timeoutMs");
        }
    }

    [Fact]
    public async Task A_stopping_server_answers_those_who_wait()
    {
        await using var server = await JobServer.StartAsync();
        var id = await server.SubmitAsync("""{"code":"x"}""");
        var wait = server.GetAsync($"/api/jobs/{id}/wait?timeoutMs=120000");
        await server.UntilWaitedForAsync(id);
        var stopping = server.App.StopAsync();
        (await (await wait).ReadAsync()).Text("status").ShouldBe("PENDING");
        await stopping;
    }
}
