using System.Text.Json;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>A guest that becomes a template after its init: each fork of it starts from there, and from nothing that another fork did.</summary>
public sealed class ForkSnapshotTests(Zygotes zygotes) : IClassFixture<Zygotes>
{
    private const string CountingNode = """
        console.log('init');
        process.stdout.write('unfinished');
        let count = 0;
        Math.random(); crypto.randomUUID(); require('crypto').randomBytes(8); require('crypto').randomInt(2);
        exports.handler = async (event) => {
          console.log('event');
          globalThis.leak = (globalThis.leak ?? 0) + 1;
          process.env.LEAK = 'x';
          await new Promise((resolve) => setTimeout(resolve, 1));
          return { count: ++count, leak: globalThis.leak, pid: process.pid, random: Math.random(), uuid: crypto.randomUUID(), int: require('crypto').randomInt(2 ** 47), young: process.uptime() < 5 };
        };
        """;

    private const string CountingPython = """
        import os, random, uuid, logging
        print("init"); print("unfinished", end="")
        count = 0
        random.random(); uuid.uuid4(); os.urandom(8)
        def handler(event, context):
            global count
            print("event")
            count += 1
            os.environ["LEAK"] = os.environ.get("LEAK", "") + "x"
            return {"count": count, "leak": len(os.environ["LEAK"]), "pid": os.getpid(), "random": random.random(), "uuid": str(uuid.uuid4()), "int": random.getrandbits(47), "young": True}
        """;

    [Theory]
    [InlineData("nodejs20", CountingNode)]
    [InlineData("python3.11", CountingPython)]
    public async Task Every_fork_begins_where_init_ended(string runtime, string code)
    {
        using TestFunction function = new(runtime, code);
        HashSet<string> randoms = [];
        List<string> logs = [];
        await RunAsync(function, zygotes.Of(runtime), forks: 20, answer =>
        {
            using JsonDocument result = JsonDocument.Parse(answer.Result ?? throw new InvalidOperationException($"{answer.Error} {answer.Exit}"));
            JsonElement root = result.RootElement;
            root.GetProperty("count").GetInt32().ShouldBe(1);
            root.GetProperty("leak").GetInt32().ShouldBe(1);
            root.GetProperty("young").GetBoolean().ShouldBeTrue();
            foreach (string name in (string[])["pid", "random", "uuid", "int"])
            {
                randoms.Add(root.GetProperty(name).GetRawText()).ShouldBeTrue($"the {name} of an earlier fork");
            }
            logs.Add(string.Join('|', answer.Log.Lines.Select(line => line.Text.Split('\t')[^1])));
        });
        logs.ShouldAllBe(log => log == "event");
    }

    [Theory]
    [InlineData("nodejs20", """
        let seen = [];
        flint.afterFork(() => seen.push('first'));
        flint.afterFork(async () => { await new Promise((r) => setTimeout(r, 1)); console.log('hook'); seen.push('second'); });
        exports.handler = (event, context, callback) => callback(null, seen);
        """)]
    [InlineData("python3.11", """
        import os
        seen = []
        os.register_at_fork(after_in_child=lambda: seen.append("first"))
        os.register_at_fork(after_in_child=lambda: (print("hook"), seen.append("second")))
        def handler(event, context):
            return seen
        """)]
    public async Task Hooks_run_in_each_fork_before_its_event(string runtime, string code)
    {
        using TestFunction function = new(runtime, code);
        await RunAsync(function, zygotes.Of(runtime), forks: 3, answer =>
        {
            answer.Result?.Replace(" ", "", StringComparison.Ordinal).ShouldBe("[\"first\",\"second\"]");
            answer.Log.Lines.Single().Text.ShouldEndWith("hook");
        });
    }

    [Theory]
    [InlineData("nodejs20", "flint.afterFork(() => { throw new RangeError('no'); });\nexports.handler = async () => 1;", "RangeError")]
    [InlineData("nodejs20", "flint.afterFork(async () => { throw new RangeError('no'); });\nexports.handler = async () => 1;", "RangeError")]
    [InlineData("python3.11", "import os\ndef hook():\n    raise KeyError('no')\nos.register_at_fork(after_in_child=hook)\ndef handler(event, context):\n    return 1", "KeyError")]
    public async Task A_hook_that_fails_is_the_functions_error(string runtime, string code, string name)
    {
        using TestFunction function = new(runtime, code);
        await RunAsync(function, zygotes.Of(runtime), forks: 2, answer => answer.Error?.Name.ShouldBe(name, $"{answer.Result} {answer.Exit}"));
    }

    [Theory]
    [InlineData("nodejs20", "exports.handler = async () => process.exit(3);")]
    [InlineData("nodejs20", "exports.handler = async () => { await require('fs').promises.stat('/'); process.removeAllListeners(); process.exitCode = 3; await new Promise(() => {}); };")]
    [InlineData("python3.11", "import sys\ndef handler(event, context):\n    sys.exit(3)")]
    public async Task A_forks_end_is_its_own(string runtime, string code)
    {
        using TestFunction function = new(runtime, code);
        await RunAsync(function, zygotes.Of(runtime), forks: 3, answer => answer.Exit?.ExitCode.ShouldBe(3, answer.ToString()));
    }

    [Theory]
    [InlineData("nodejs20", "const fs = require('fs');\nlet size;\nfs.promises.stat('/').then(() => { size = 1; });\nexports.handler = async () => (await Promise.all([1, 2, 3].map(() => fs.promises.stat('/')))).length + (await new Promise((r) => new (require('worker_threads').Worker)('1', { eval: true }).on('exit', r)));")]
    [InlineData("python3.11", "import threading, concurrent.futures\ndef handler(event, context):\n    with concurrent.futures.ThreadPoolExecutor(3) as p:\n        return sum(p.map(lambda x: x, [1, 1, 1]))")]
    public async Task Forks_have_threads_of_their_own(string runtime, string code)
    {
        using TestFunction function = new(runtime, code);
        await RunAsync(function, zygotes.Of(runtime), forks: 5, answer => answer.Result.ShouldBe("3", answer.ToString()));
    }

    private static async Task RunAsync(TestFunction function, ZygoteGuests zygote, int forks, Action<TestAnswer> check)
    {
        using CancellationTokenSource limit = new(TimeSpan.FromSeconds(60));
        ISandbox whole = zygote.Fork(function.Spec(snapshot: true));
        try
        {
            GuestConnection connection = new(whole, new GuestLimits());
            TestAnswer? failure = await function.InitAsync(connection, whole, snapshot: true, TestFunction.MemoryMb, limit.Token);
            failure.ShouldBeNull(failure?.ToString());
            int answers = 0;
            for (; answers < forks; answers++)
            {
                ISandbox fork = await whole.Template!.ForkAsync(limit.Token);
                try
                {
                    check(await TestFunction.InvokeAsync(GuestConnection.AfterInit(fork, new GuestLimits()), fork, "null", limit.Token));
                }
                finally
                {
                    await fork.DestroyAsync();
                }
            }
        }
        finally
        {
            await whole.DestroyAsync();
        }
    }
}
