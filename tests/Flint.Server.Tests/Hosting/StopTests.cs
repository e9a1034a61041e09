using System.Net;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Hosting;

public sealed class StopTests
{
    [Fact]
    public async Task A_stop_lets_what_runs_finish_and_keeps_its_record()
    {
        var entered = new TestSignal();
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = async _ =>
        {
            entered.Set();
            await release.Task;
            return FakeAnswer.Json("42");
        }
            }
        };
        await AroundAsync(async path =>
        {
            await using var server = await TestServer.StartAsync(engine, path);
            await server.DeployAsync("f", ""","timeoutMs":60000""");
            Task<System.Text.Json.JsonElement>[] running = [server.InvokeAsync("f"), server.InvokeAsync("f")];
            await entered.WaitAsync();
            await entered.WaitAsync();
            var stopped = server.App.StopAsync();
            await RefusedAsync(server);
            running.ShouldAllBe(call => !call.IsCompleted);
            stopped.IsCompleted.ShouldBeFalse();
            release.SetResult();
            var records = await Task.WhenAll(running);
            records.ShouldAllBe(record => record.Text("status") == "COMPLETED");
            await stopped.WaitAsync(TimeSpan.FromSeconds(30));
            engine.Live.ShouldBe(0);
            return [.. records.Select(record => record.Text("id")!)];
        }, "COMPLETED");
    }

    [Fact]
    public async Task A_stop_ends_what_hangs_within_its_bound_and_keeps_its_record()
    {
        var entered = new TestSignal();
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = _ =>
        {
            entered.Set();
            return ValueTask.FromResult<FakeAnswer>(new FakeAnswer.Hang());
        }
            }
        };
        await AroundAsync(async path =>
        {
            await using var server = await TestServer.StartAsync(engine, path, args: ["--Flint:Sandbox:DrainTimeoutMs", "300"]);
            await server.DeployAsync("f", ""","timeoutMs":900000""");
            var running = server.InvokeAsync("f");
            await entered.WaitAsync();
            await server.App.StopAsync().WaitAsync(TimeSpan.FromSeconds(20));
            var record = await running.WaitAsync(TimeSpan.FromSeconds(5));
            record.Text("status").ShouldBe("FAILED");
            record.GetProperty("error").Text("type").ShouldBe("SandboxLost");
            engine.Live.ShouldBe(0);
            return [record.Text("id")!];
        }, "FAILED");
    }

    /// <summary>A server that has begun to stop takes nothing more: no connection, or a 503.</summary>
    private static async Task RefusedAsync(TestServer server)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { BaseAddress = server.Address };
        for (var patience = TimeProvider.System.GetTimestamp(); TimeProvider.System.GetElapsedTime(patience) < TimeSpan.FromSeconds(20);)
        {
            try
            {
                using var answer = await client.GetAsync("/health/live");
            }
            catch (HttpRequestException)
            {
                return;
            }
        }

        Assert.Fail("New requests were taken for 20 seconds after the stop began.");
    }

    /// <summary>Runs, then looks for the records in a new server on the same data.</summary>
    private static async Task AroundAsync(Func<string, Task<string[]>> run, string status)
    {
        var path = Directory.CreateTempSubdirectory("flint-stop-").FullName;
        try
        {
            var ids = await run(path);
            await using var server = await TestServer.StartAsync(dataPath: path);
            foreach (var id in ids)
            {
                (await (await server.GetAsync($"/api/invocations/{id}")).ReadAsync(HttpStatusCode.OK)).Text("status").ShouldBe(status);
            }
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }
}
