using System.Net;
using Flint.EndToEnd.Tests.Hosting;

namespace Flint.EndToEnd.Tests.Functions;

/// <summary>The server's few threads serve everybody: what waits for a guest, however long, must hold none of them.</summary>
public sealed class LongFunctionTests(Release release)
{
    private const int Long = 100;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [Fact]
    public async Task A_hundred_long_functions_starve_nobody()
    {
        using var directory = new TemporaryDirectory();
        // Nobody waits for them in the end; and a busy machine may take its time to start so many.
        await using var server = await FlintServer.StartAsync(
            release, directory.Path, "--Flint:Sandbox:DrainTimeoutMs", "0", "--Flint:Sandbox:InitTimeoutMs", "120000");
        var api = server.Api;
        await api.CreateAsync(new
        {
            name = "long",
            runtime = "python",
            handler = "main.handler",
            timeoutMs = 900_000,
            code = new { inline = "import time\ndef handler(event, context):\n    time.sleep(3600)\n" },
        });
        await api.CreateAsync(new
        {
            name = "short",
            runtime = "javascript",
            handler = "index.handler",
            timeoutMs = 60_000,
            code = new { inline = "exports.handler = async (event) => event.n * 7;" },
        });
        var waiting = Enumerable.Range(0, Long).Select(_ => api.SendAsync(HttpMethod.Post, "/api/functions/long/invoke", "{}")).ToList();
        await Eventually.TrueAsync(
            () => HostProcesses.Descendants(server.ProcessId).Count(process => process.CommandLine.Contains("python")) >= Long,
            Patience, "the long functions do not run");

        for (var n = 0; n < 20; n++)
        {
            (await api.InvokeAsync("short", $$"""{"n":{{n}}}"""))["result"]!.GetValue<int>().ShouldBe(n * 7);
        }
        (await api.GetAsync("/api/functions")).Status.ShouldBe(HttpStatusCode.OK);
        (await api.GetAsync("/health/ready")).Status.ShouldBe(HttpStatusCode.OK);

        waiting.ShouldAllBe(call => !call.IsCompleted);
        await server.KillAsync();
        foreach (var call in waiting)
        {
            await Should.ThrowAsync<HttpRequestException>(call);
        }
    }
}
