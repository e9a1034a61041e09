using System.Globalization;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>
/// The server as an ordinary user, made by root for the test: no subordinate uids, and cgroups either delegated (as a systemd user scope
/// has them) or not.
/// </summary>
public sealed class OrdinaryUserTests(Release release) : IAsyncLifetime
{
    // No account has it, which must not matter.
    private const int Uid = 23456;
    private const string Group = "flint-e2e-user";
    private readonly TemporaryDirectory _directory = new();
    private readonly List<string> _cgroups = [];

    public async ValueTask InitializeAsync()
    {
        Needs.Root();
        // The checkout may be in a directory that only root may enter.
        var copy = await Shell.RunAsync($"cp -r '{release.Directory}' release && mkdir home data && chown {Uid}:{Uid} home data", _directory.Path, TimeSpan.FromMinutes(1));
        copy.ExitCode.ShouldBe(0, copy.Output);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var cgroup in _cgroups.Where(Directory.Exists))
        {
            var inner = Directory.GetDirectories(cgroup, "*", SearchOption.AllDirectories).OrderByDescending(static path => path.Length);
            foreach (var directory in (string[])[.. inner, cgroup])
            {
                Directory.Delete(directory);
            }
        }

        _directory.Dispose();
        await Task.CompletedTask;
    }

    [Theory]
    [InlineData("python", "main.handler", "import os\ndef handler(event, context):\n    return [os.getuid(), open('/proc/self/status').read().count('CapEff:\\t0000000000000000')]\n")]
    [InlineData("javascript", "index.handler", "exports.handler = async () => [process.getuid(), require('fs').readFileSync('/proc/self/status', 'utf8').split('CapEff:\\t0000000000000000').length - 1];\n")]
    public async Task With_delegated_cgroups_functions_run_and_their_limits_hold(string runtime, string handler, string code)
    {
        Delegate();
        await using var server = await FlintServer.StartAsync(Start());
        UidOf(server.ProcessId).ShouldBe(Uid);
        await server.Api.CreateAsync(new { name = "mine", runtime, handler, code = new { inline = code } });

        var record = await server.Api.InvokeAsync("mine");

        record["status"]!.GetValue<string>().ShouldBe("COMPLETED", record.ToJsonString());
        record["result"]![0]!.GetValue<int>().ShouldNotBe(0);
        record["result"]![1]!.GetValue<int>().ShouldBe(1);
        record["unenforced"].ShouldBeNull();

        await server.Api.CreateAsync(new
        {
            name = "greedy",
            runtime = "python",
            handler = "main.handler",
            timeoutMs = 20000,
            code = new { inline = "def handler(event, context):\n    blocks = []\n    while True: blocks.append(bytearray(1 << 20))\n" },
        });
        (await server.Api.InvokeAsync("greedy"))["error"]!["type"]!.GetValue<string>().ShouldBe("OutOfMemory");
    }

    [Fact]
    public async Task Without_delegated_cgroups_functions_are_refused_and_the_reason_is_told()
    {
        var launched = await Eventually.GetAsync(async () =>
        {
            var doctor = await Shell.RunAsync($"{Command()} doctor --Flint:DataPath {_directory.Path}/data", _directory.Path, TimeSpan.FromSeconds(60));
            return doctor;
        }, TimeSpan.FromSeconds(60), "doctor does not answer");

        launched.Output.ShouldContain("memory");
        launched.Output.ShouldContain("Flint:Sandbox:AllowUnenforced");
        launched.ExitCode.ShouldNotBe(0);
    }

    [Fact]
    public async Task What_the_operator_allows_to_be_missing_is_shown_on_every_record()
    {
        await using var server = await FlintServer.StartAsync(Start(
            "--Flint:Sandbox:AllowUnenforced:0", "memory", "--Flint:Sandbox:AllowUnenforced:1", "pids", "--Flint:Sandbox:AllowUnenforced:2", "cpu"));
        await server.Api.CreateAsync(new { name = "mine", runtime = "python", handler = "main.handler", code = new { inline = "def handler(e, c):\n    return e\n" } });

        var record = await server.Api.InvokeAsync("mine", "5");

        record["result"]!.GetValue<int>().ShouldBe(5);
        record["unenforced"]!.AsArray().Select(static limit => limit!.GetValue<string>()).ShouldContain("memory");
        record["unenforced"]!.AsArray().Select(static limit => limit!.GetValue<string>()).ShouldContain("pids");
    }

    // HOME and the temporary directory are the user's own; nothing of root's environment is needed.
    private string Command() =>
        $"setpriv --reuid {Uid} --regid {Uid} --clear-groups env HOME={_directory.Path}/home TMPDIR={_directory.Path}/home dotnet {_directory.Path}/release/Flint.Server.dll";

    private ServerStart Start(params string[] arguments) => new()
    {
        // The shell moves itself into the delegated groups first, as the init system does.
        Command = ["/bin/bash", "-c", $"{string.Concat(_cgroups.Select(static path => $"echo $$ > {path}/cgroup.procs; "))}exec {Command()} \"$@\"", "server"],
        WorkingDirectory = _directory.Sub("home"),
        DataPath = Path.Combine(_directory.Path, "data"),
        Arguments = arguments,
    };

    private void Delegate()
    {
        foreach (var fields in File.ReadLines("/proc/self/mounts").Select(static line => line.Split(' ')).Where(static fields => fields[2] is "cgroup" or "cgroup2"))
        {
            if (fields[3].Contains("cpuset", StringComparison.Ordinal))
            {
                // A new v1 cpuset group takes no process before it is given processors.
                continue;
            }

            var path = Path.Combine(fields[1], Group);
            Directory.CreateDirectory(path);
            _cgroups.Add(path);
        }

        Needs.That(_cgroups.Count > 0, "needs cgroups");
        var owner = string.Join(' ', _cgroups);
        var chown = Shell.RunAsync($"chown -R {Uid}:{Uid} {owner}", "/", TimeSpan.FromSeconds(10)).GetAwaiter().GetResult();
        chown.ExitCode.ShouldBe(0, chown.Output);
    }

    private static int UidOf(int process)
    {
        var line = File.ReadLines($"/proc/{process}/status").First(static line => line.StartsWith("Uid:", StringComparison.Ordinal));
        return int.Parse(line.Split('\t')[1], CultureInfo.InvariantCulture);
    }
}
