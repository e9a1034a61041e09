using System.Net;
using System.Text.Json.Nodes;
using Flint.EndToEnd.Tests.Hosting;

namespace Flint.EndToEnd.Tests.Jobs;

/// <summary>Jobs as a client sees them, with the real engine and the real interpreters.</summary>
public sealed class JobTests(Release release) : IDisposable
{
    private const int Jobs = 50;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly TemporaryDirectory _directory = new();

    [Fact]
    public async Task Jobs_of_both_languages_run_and_tell_how_they_ended()
    {
        await using var server = await FlintServer.StartAsync(release, _directory.Path);

        var job = await RunAsync(server, new { code = "function main(a, b) { console.log('adding'); return a + b }", args = new[] { 2, 3 } });
        Status(job).ShouldBe("COMPLETED");
        job["result"]!.GetValue<int>().ShouldBe(5);
        job["logs"]!.GetValue<string>().Trim().ShouldBe("adding");
        job["executionTime"]!.GetValue<double>().ShouldBeGreaterThan(0);

        job = await RunAsync(server, new { language = "python", code = "def main(*names):\n    print('greeting')\n    return ['hello ' + n for n in names]\n", args = new[] { "x", "y" } });
        Status(job).ShouldBe("COMPLETED");
        job["result"]!.AsArray().Select(name => name!.GetValue<string>()).ShouldBe(["hello x", "hello y"]);
        job["logs"]!.GetValue<string>().Trim().ShouldBe("greeting");

        job = await RunAsync(server, new { code = "function main() { console.log('before'); throw new TypeError('not today') }" });
        Status(job).ShouldBe("FAILED");
        job["error"]!.GetValue<string>().ShouldBe("not today");
        job["errorDetail"]!["name"]!.GetValue<string>().ShouldBe("TypeError");
        job["logs"]!.GetValue<string>().ShouldContain("before");

        job = await RunAsync(server, new { language = "python", code = "def main(:\n" });
        Status(job).ShouldBe("FAILED");
        job["errorDetail"]!["type"]!.GetValue<string>().ShouldBe("SyntaxError");

        job = await RunAsync(server, new { code = "function main() { for (;;); }", timeout = 300 });
        job["errorDetail"]!["type"]!.GetValue<string>().ShouldBe("TimedOut");
    }

    [Fact]
    public async Task Several_files_run_together_and_a_retry_begins_afresh()
    {
        await using var server = await FlintServer.StartAsync(release, _directory.Path);
        var job = await RunAsync(server, new
        {
            files = new Dictionary<string, string> { ["main.js"] = "const { twice } = require('./lib/twice.js'); function main(n) { return twice(n) }", ["lib/twice.js"] = "exports.twice = n => 2 * n" },
            args = new[] { 21 },
        });
        Status(job).ShouldBe("COMPLETED", job.ToJsonString());
        job["result"]!.GetValue<int>().ShouldBe(42);

        // What the first attempt leaves in /tmp is not there for the second.
        job = await RunAsync(server, new
        {
            language = "python",
            code = "import os\ndef main():\n    new = not os.path.exists('/tmp/seen')\n    open('/tmp/seen', 'w').close()\n    raise ValueError('new' if new else 'used')\n",
            retries = 2,
            backoff = new { type = "fixed", delayMs = 1, jitter = false },
        });
        Status(job).ShouldBe("FAILED");
        job["attempts"]!.AsArray().Select(attempt => attempt!["errorMessage"]!.GetValue<string>()).ShouldBe(["new", "new", "new"]);
    }

    [Fact]
    public async Task A_loop_that_runs_is_cancelled_and_its_sandbox_is_gone()
    {
        await using var server = await FlintServer.StartAsync(release, _directory.Path);
        var id = await SubmitAsync(server, new { language = "python", code = "import subprocess\ndef main():\n    subprocess.run(['/bin/sleep', '98766'])\n", timeout = 60_000 });
        await Eventually.TrueAsync(() => Sleeping(server, "98766") == 1, Limit, "the job runs");
        (await server.Api.GetAsync($"/api/jobs/{id}")).Json["status"]!.GetValue<string>().ShouldBe("RUNNING");

        var answer = await server.Api.SendAsync(HttpMethod.Post, $"/api/jobs/{id}/cancel", "{}");
        Status(answer.Json).ShouldBe("CANCELLED");
        await Eventually.TrueAsync(() => Sleeping(server, "98766") == 0, Limit, "the sandbox is killed");
        Status((await server.Api.GetAsync($"/api/jobs/{id}")).Json).ShouldBe("CANCELLED");
        (await server.Api.SendAsync(HttpMethod.Post, $"/api/jobs/{id}/cancel", "{}")).Status.ShouldBe(HttpStatusCode.Conflict);
        // The place is free again.
        Status(await RunAsync(server, new { code = "function main() { return 1 }" })).ShouldBe("COMPLETED");
    }

    [Fact]
    public async Task A_server_killed_with_jobs_running_and_waiting_loses_none_of_them()
    {
        // With such a lease nothing comes back but what the next server takes from the dead one at its start.
        var ids = new List<string>();
        await using (var server = await FlintServer.StartAsync(release, _directory.Path, "--Flint:Worker:Concurrency", "20", "--Flint:Worker:LeaseMs", "600000"))
        {
            for (var n = 0; n < Jobs; n++)
            {
                ids.Add(await SubmitAsync(server, new { language = "python", code = "import subprocess\ndef main(n):\n    subprocess.run(['/bin/sleep', '2.8765'])\n    return n\n", args = new[] { n } }));
            }

            await Eventually.TrueAsync(() => Sleeping(server, "2.8765") >= 10, Limit, "jobs run");
            await server.KillAsync();
        }

        await using (var server = await FlintServer.StartAsync(release, _directory.Path, "--Flint:Worker:Concurrency", "20", "--Flint:Worker:LeaseMs", "600000"))
        {
            for (var n = 0; n < Jobs; n++)
            {
                var job = await WaitAsync(server, ids[n]);
                Status(job).ShouldBe("COMPLETED", job.ToJsonString());
                job["result"]!.GetValue<int>().ShouldBe(n);
                job["attemptCount"]!.GetValue<int>().ShouldBeInRange(1, 2);
            }
        }
    }

    [Fact]
    public async Task A_server_told_to_stop_gives_back_what_it_could_not_finish()
    {
        string[] ids;
        await using (var server = await FlintServer.StartAsync(release, _directory.Path, "--Flint:Worker:Concurrency", "1", "--Flint:Sandbox:DrainTimeoutMs", "300"))
        {
            ids = [await SubmitAsync(server, new { language = "python", code = "import subprocess\ndef main():\n    subprocess.run(['/bin/sleep', '3.8764'])\n    return 1\n" }), await SubmitAsync(server, new { code = "function main() { return 2 }" })];
            await Eventually.TrueAsync(() => Sleeping(server, "3.8764") == 1, Limit, "the job runs");
            (await server.StopAsync()).ShouldBe(0, server.Output);
        }

        await using (var server = await FlintServer.StartAsync(release, _directory.Path))
        {
            foreach (var (id, result) in ids.Zip([1, 2]))
            {
                var job = await WaitAsync(server, id);
                job["result"]!.GetValue<int>().ShouldBe(result);
                job["attemptCount"]!.GetValue<int>().ShouldBe(1);
            }
        }
    }

    public void Dispose() => _directory.Dispose();

    private static int Sleeping(FlintServer server, string seconds) =>
        HostProcesses.Descendants(server.ProcessId).Count(process => process.CommandLine == $"/bin/sleep {seconds}");

    private static string Status(JsonNode job) => job["status"]!.GetValue<string>();

    private static async Task<string> SubmitAsync(FlintServer server, object job)
    {
        var answer = await server.Api.SendAsync(HttpMethod.Post, "/api/jobs", FlintApi.JsonOf(job));
        answer.Status.ShouldBe(HttpStatusCode.Accepted, answer.Text);
        return answer.Json["id"]!.GetValue<string>();
    }

    private static async Task<JsonNode> WaitAsync(FlintServer server, string id)
    {
        var answer = await server.Api.GetAsync($"/api/jobs/{id}/wait?timeoutMs=60000");
        answer.Status.ShouldBe(HttpStatusCode.OK, answer.Text);
        return answer.Json;
    }

    private static async Task<JsonNode> RunAsync(FlintServer server, object job) => await WaitAsync(server, await SubmitAsync(server, job));
}
