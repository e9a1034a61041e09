using Flint.Engines.Native;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Tests.Native;

/// <summary>Templates of real interpreters, forked by the real launcher.</summary>
public sealed class NativeSnapshotTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    private const string PythonCounter = """
        import os, random
        count = 0
        open('/tmp/from-init', 'w').write('init')
        def handler(event, context):
            global count
            count += 1
            seen = open('/tmp/from-init').read()
            open('/tmp/from-init', 'w').write('changed')
            left = os.path.exists('/tmp/from-fork')
            open('/tmp/from-fork', 'w').write('x')
            return [count, seen, left, random.random()]
        """;

    private const string NodeCounter = """
        const fs = require('fs');
        let count = 0;
        fs.writeFileSync('/tmp/from-init', 'init');
        exports.handler = async () => {
          count += 1;
          const seen = fs.readFileSync('/tmp/from-init', 'utf8');
          fs.writeFileSync('/tmp/from-init', 'changed');
          const left = fs.existsSync('/tmp/from-fork');
          fs.writeFileSync('/tmp/from-fork', 'x');
          return [count, seen, left, Math.random()];
        };
        """;

    [Theory]
    [InlineData("python", PythonCounter)]
    [InlineData("nodejs", NodeCounter)]
    public async Task Each_fork_begins_where_init_ended(string language, string source)
    {
        await using var template = await TemplateAsync(language, source);
        var drawn = new HashSet<string>();
        for (var i = 0; i < 10; i++)
        {
            await using var fork = await ForkAsync(template);
            var answer = (await fork.InvokeAsync()).Replace(" ", "", StringComparison.Ordinal).Trim('[', ']').Split(',');
            string.Join(',', answer[..3]).ShouldBe("1,\"init\",false");
            drawn.Add(answer[3]);
            template.Sandbox.ReadPeakMemory().GetValueOrDefault(1).ShouldBeGreaterThan(0);
        }

        drawn.Count.ShouldBe(10);
        template.Sandbox.Exited.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task A_template_that_idles_frozen_goes_on_after_a_thaw()
    {
        await using var template = await TemplateAsync("python", PythonCounter);
        Assert.SkipUnless(host.Engine.Capabilities.Freeze, "the host has no freezer");
        for (var i = 0; i < 3; i++)
        {
            await using var fork = await ForkAsync(template);
            await template.Sandbox.FreezeAsync(CancellationToken.None);
            await fork.Sandbox.ThawAsync(CancellationToken.None);
            (await fork.InvokeAsync()).ShouldStartWith("[1,");
            // Destroyed while it is frozen, which must not keep it alive.
            await fork.Sandbox.FreezeAsync(CancellationToken.None);
        }
    }

    [Theory]
    [InlineData("import os\ndef handler(event, context): os._exit(7)", 7, null)]
    [InlineData("import os, signal\ndef handler(event, context): os.kill(os.getpid(), signal.SIGKILL)", null, 9)]
    public async Task A_fork_that_ends_does_not_end_the_template(string source, int? code, int? signal)
    {
        await using var template = await TemplateAsync("python", source);
        for (var i = 0; i < 3; i++)
        {
            await using var fork = await ForkAsync(template);
            await Should.ThrowAsync<GuestClosedException>(() => fork.InvokeAsync());
            (await fork.ExitAsync()).ShouldBe(new SandboxExit(code, signal, false, false));
        }
    }

    [Fact]
    public async Task Memory_beyond_the_limit_ends_the_whole_and_says_so()
    {
        var template = await TemplateAsync("python", "def handler(event, context):\n    data = []\n    while True:\n        data.append(bytearray(1 << 20))");
        var fork = await ForkAsync(template);
        await Should.ThrowAsync<GuestClosedException>(() => fork.InvokeAsync());
        (await fork.ExitAsync()).OutOfMemory.ShouldBeTrue();
        await fork.DisposeAsync();
        await template.DisposeAsync();
    }

    [Fact]
    public async Task A_thread_that_init_leaves_is_named()
    {
        await using var template = await TemplateAsync(
            "python", "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\ndef handler(event, context): return 1");
        var failure = await Should.ThrowAsync<SnapshotUnsafeException>(() => template.Sandbox.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit));
        failure.Findings.ShouldContain(finding => finding.Contains("thread", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_template_outlives_its_zygote()
    {
        await using var engine = await host.StartEngineAsync(new NativeEngineOptions { ReadySandboxes = 0 });
        await using var template = await TemplateAsync("python", PythonCounter, engine);
        var keeper = engine.Zygotes.Single(keeper => keeper.Runtime == host.Runtime("python"));
        var zygote = keeper.Current!;
        Descriptors.Kill(HostProcesses.Find(engine.LauncherPid, zygote.Pid));
        await zygote.Gone.WaitAsync(Limit);
        for (var i = 0; i < 3; i++)
        {
            await using var fork = await ForkAsync(template);
            (await fork.InvokeAsync()).ShouldStartWith("[1,");
        }
    }

    private async Task<RunningGuest> TemplateAsync(string language, string source, ISandboxEngine? engine = null)
    {
        var spec = host.Spec(language, source) with { Snapshot = true };
        Assert.SkipWhen(host.Engine.Capabilities.NoSnapshot is not null, host.Engine.Capabilities.NoSnapshot ?? "");
        return await RunningGuest.InitAsync(await (engine ?? host.Engine).CreateAsync(spec, CancellationToken.None), spec.MemoryMb);
    }

    private static async Task<RunningGuest> ForkAsync(RunningGuest template) =>
        RunningGuest.OfFork(await template.Sandbox.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit));
}
