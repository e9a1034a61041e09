namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>What is left of a server that was killed in the middle of its work.</summary>
public sealed class KillTests(Release release) : IDisposable
{
    private const int Running = 3;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(15);
    private readonly TemporaryDirectory _directory = new();

    [Fact]
    public async Task A_server_killed_in_the_middle_leaves_no_process_no_cgroup_and_its_history()
    {
        var cgroupsBefore = HostProcesses.Cgroups();
        var answered = new List<string>();
        await using (var server = await FlintServer.StartAsync(release, _directory.Path))
        {
            await DeployAsync(server);
            for (var n = 0; n < 20; n++)
            {
                answered.Add((await server.Api.InvokeAsync("quick", $"{n}"))["id"]!.GetValue<string>());
            }

            var hanging = Enumerable.Range(0, Running).Select(_ => server.Api.SendAsync(HttpMethod.Post, "/api/functions/slow/invoke", "{}")).ToList();
            await Eventually.TrueAsync(
                () => HostProcesses.Descendants(server.ProcessId).Count(static process => process.CommandLine == "/bin/sleep 98765") == Running,
                Limit, $"{Running} guests run");
            var tree = HostProcesses.Descendants(server.ProcessId);
            var cgroups = HostProcesses.Cgroups().Except(cgroupsBefore).ToList();

            await server.KillAsync();

            await Eventually.EmptyAsync(() => tree.Where(HostProcesses.IsAlive).ToList(), Limit, "processes of the killed server are left");
            await Eventually.EmptyAsync(() => cgroups.Where(Directory.Exists).ToList(), Limit, "cgroups of the killed server are left");
            foreach (var invocation in hanging)
            {
                await Should.ThrowAsync<HttpRequestException>(invocation);
            }
        }

        await using (var server = await FlintServer.StartAsync(release, _directory.Path))
        {
            foreach (var id in answered)
            {
                (await server.Api.GetAsync($"/api/invocations/{id}")).Json["status"]!.GetValue<string>().ShouldBe("COMPLETED");
            }

            (await server.Api.InvokeAsync("quick", "7"))["result"]!.GetValue<int>().ShouldBe(7);
        }
    }

    [Fact]
    public async Task A_server_that_is_told_to_stop_leaves_nothing_either()
    {
        var cgroupsBefore = HostProcesses.Cgroups();
        await using var server = await FlintServer.StartAsync(release, _directory.Path);
        await DeployAsync(server);
        await server.Api.InvokeAsync("quick", "1");
        var tree = HostProcesses.Descendants(server.ProcessId);
        tree.ShouldNotBeEmpty();
        var cgroups = HostProcesses.Cgroups().Except(cgroupsBefore).ToList();

        (await server.StopAsync()).ShouldBe(0, server.Output);

        await Eventually.EmptyAsync(() => tree.Where(HostProcesses.IsAlive).ToList(), Limit, "processes of the stopped server are left");
        await Eventually.EmptyAsync(() => cgroups.Where(Directory.Exists).ToList(), Limit, "cgroups of the stopped server are left");
    }

    public void Dispose() => _directory.Dispose();

    private static async Task DeployAsync(FlintServer server)
    {
        // Strict history: what was answered is committed, so a kill may not lose it.
        await server.Api.CreateAsync(new
        {
            name = "quick",
            runtime = "python",
            handler = "main.handler",
            history = "strict",
            code = new { inline = "def handler(event, context):\n    return event\n" },
        });
        await server.Api.CreateAsync(new
        {
            name = "slow",
            runtime = "python",
            handler = "main.handler",
            timeoutMs = 60000,
            code = new { inline = "import subprocess\ndef handler(event, context):\n    subprocess.run(['/bin/sleep', '98765'], start_new_session=True)\n" },
        });
    }
}
