using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Flint.EndToEnd.Tests.Hosting;

namespace Flint.EndToEnd.Tests.Documents;

/// <summary>
/// The README and the tour, followed word for word in a fresh copy of the sources, as a newcomer would: what a page starts is started,
/// what it types is typed, and what it says is printed must be printed. Only a port that is taken on this machine is replaced.
/// </summary>
public sealed class DocumentTests(Release release) : IDisposable
{
    private const string Port = "8000";
    private static readonly TimeSpan FirstStart = TimeSpan.FromMinutes(8);
    private static readonly TimeSpan StepLimit = TimeSpan.FromMinutes(2);
    private readonly TemporaryDirectory _directory = new();
    private readonly List<Process> _servers = [];

    [Fact]
    public async Task The_readme_works_from_a_fresh_copy()
    {
        await FreshCopyAsync();
        await FollowAsync("README.md");
    }

    [Fact]
    public async Task Getting_started_works()
    {
        await FreshCopyAsync();
        // What a build makes is the same as here; the README's test builds it.
        var copy = await Shell.RunAsync($"mkdir -p artifacts && cp -a '{release.Repository}/artifacts/releases' '{release.Repository}/artifacts/flint' artifacts/", Clone, StepLimit);
        copy.ExitCode.ShouldBe(0, copy.Output);
        await FollowAsync("docs/getting-started.md");
    }

    private string Clone => Path.Combine(_directory.Path, "flint");

    public void Dispose()
    {
        foreach (var server in _servers)
        {
            if (!server.HasExited)
            {
                HostProcesses.Signal(server.Id, 15);
                if (!server.WaitForExit(TimeSpan.FromSeconds(40)))
                {
                    server.Kill(entireProcessTree: true);
                }
            }

            server.Dispose();
        }

        _directory.Dispose();
    }

    // What is committed and what is about to be: a checkout without what is built. An archive without git has no more than that either.
    private async Task FreshCopyAsync()
    {
        Directory.CreateDirectory(Clone);
        var copy = await Shell.RunAsync(
            $$"""
            if git rev-parse --git-dir >/dev/null 2>&1; then
              git ls-files -co --exclude-standard -z | while IFS= read -r -d '' file; do [[ ! -e $file ]] || printf '%s\0' "$file"; done | tar --null -T - -cf - | tar -xf - -C '{{Clone}}'
            else
              tar --exclude=./artifacts --exclude=./data --exclude=./native/build --exclude=node_modules --exclude=__pycache__ -cf - . | tar -xf - -C '{{Clone}}'
            fi
            """,
            release.Repository, StepLimit);
        copy.ExitCode.ShouldBe(0, copy.Output);
    }

    private async Task FollowAsync(string document)
    {
        var port = IsFree(int.Parse(Port, System.Globalization.CultureInfo.InvariantCulture)) ? Port : $"{FlintServer.FreePort()}";
        var steps = ShellDocument.Read(Path.Combine(Clone, document));
        steps.Count.ShouldBeGreaterThan(2);
        foreach (var step in steps)
        {
            var script = step.Script.Replace($"127.0.0.1:{Port}", $"127.0.0.1:{port}", StringComparison.Ordinal);
            if (step.StartsServer)
            {
                await StartAsync(port == Port ? script : $"{script} --urls http://127.0.0.1:{port}", port);
                continue;
            }

            // The page's other terminal; ./test is run by those who read this.
            if (script.Trim() == "./test")
            {
                continue;
            }

            var result = await Shell.RunAsync(script, Clone, StepLimit);
            var where = $"{document}:{step.Line}\n{script}\n{result.Output}";
            result.ExitCode.ShouldBe(0, where);
            if (step.Prints is { } prints)
            {
                Expected.Match(prints.Replace($"127.0.0.1:{Port}", $"127.0.0.1:{port}", StringComparison.Ordinal), result.Stdout).ShouldBeEmpty(where);
            }
        }
    }

    private async Task StartAsync(string script, string port)
    {
        var server = Process.Start(new ProcessStartInfo("/bin/bash", ["-c", $"exec {script.Trim()} >server.log 2>&1 </dev/null"]) { WorkingDirectory = Clone })!;
        _servers.Add(server);
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{port}") };
        await Eventually.TrueAsync(() => server.HasExited || IsReady(http), FirstStart, $"{script} is not ready");
        server.HasExited.ShouldBeFalse(File.ReadAllText(Path.Combine(Clone, "server.log")));
    }

    private static bool IsReady(HttpClient http)
    {
        try
        {
            using var answer = http.Send(new HttpRequestMessage(HttpMethod.Get, "/health/ready"));
            return answer.IsSuccessStatusCode;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private static bool IsFree(int port)
    {
        try
        {
            using var listener = new TcpListener(IPAddress.Loopback, port);
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
