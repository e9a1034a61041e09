using System.Globalization;
using Flint.Engines.Native;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

/// <summary>The native engine with its real launcher and real interpreters.</summary>
public sealed class NativeEngineTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    [Theory]
    [InlineData("python", "def handler(event, context):\n    return {'sum': event['a'] + 1}", StartMode.Zygote)]
    [InlineData("python", "def handler(event, context):\n    return {'sum': event['a'] + 1}", StartMode.Exec)]
    [InlineData("nodejs", "exports.handler = async (event) => ({sum: event.a + 1});", StartMode.Zygote)]
    [InlineData("nodejs", "exports.handler = async (event) => ({sum: event.a + 1});", StartMode.Exec)]
    public async Task A_guest_answers_again_and_again(string language, string source, StartMode start)
    {
        await using var guest = await host.StartAsync(language, source, spec => spec with { Start = start });
        guest.Sandbox.Start.ShouldBe(start);
        for (var i = 0; i < 20; i++)
        {
            (await guest.InvokeAsync($$"""{"a":{{i}}}""")).Replace(" ", "", StringComparison.Ordinal).ShouldBe($$"""{"sum":{{i + 1}}}""");
        }
    }

    [Theory]
    [InlineData("python", "import os\ndef handler(event, context):\n    os.write(1, b'raw out\\n')\n    os.write(2, b'raw err\\n')", StartMode.Zygote)]
    [InlineData("python", "import os\ndef handler(event, context):\n    os.write(1, b'raw out\\n')\n    os.write(2, b'raw err\\n')", StartMode.Exec)]
    [InlineData("nodejs", "const fs = require('fs');\nexports.handler = async () => { fs.writeSync(1, 'raw out\\n'); fs.writeSync(2, 'raw err\\n'); };", StartMode.Zygote)]
    [InlineData("nodejs", "const fs = require('fs');\nexports.handler = async () => { fs.writeSync(1, 'raw out\\n'); fs.writeSync(2, 'raw err\\n'); };", StartMode.Exec)]
    public async Task Raw_output_is_part_of_the_log_when_the_answer_is_there(string language, string source, StartMode start)
    {
        await using var guest = await host.StartAsync(language, source, spec => spec with { Start = start });
        guest.Sandbox.Start.ShouldBe(start);
        for (var i = 0; i < 5; i++)
        {
            (await guest.InvokeAsync()).ShouldBe("null");
            guest.LastLog.Lines.ShouldContain(line => line.Stream == LogStream.Stdout && line.Text == "raw out");
            guest.LastLog.Lines.ShouldContain(line => line.Stream == LogStream.Stderr && line.Text == "raw err");
        }
    }

    [Fact]
    public async Task A_probe_of_a_host_that_works_says_so_before_and_after_the_start()
    {
        Assert.SkipWhen(host.Missing is not null, host.Missing ?? "");
        (await host.Engine.ProbeAsync(CancellationToken.None)).Available.ShouldBeTrue();
        await using var unstarted = host.NewEngine();
        var report = await unstarted.ProbeAsync(CancellationToken.None);
        report.Available.ShouldBeTrue(report.Summary);
        report.Runtimes.ShouldBe(host.Engine.Capabilities.Runtimes);
    }

    [Fact]
    public async Task A_frozen_sandbox_stands_still_and_goes_on_after_a_thaw()
    {
        const string Source = """
            import threading, time
            ticks = 0
            def tick():
                global ticks
                while True:
                    ticks += 1
                    time.sleep(0.001)
            threading.Thread(target=tick, daemon=True).start()
            def handler(event, context):
                return ticks
            """;
        await using var guest = await host.StartAsync("python", Source);
        Assert.SkipUnless(host.Engine.Capabilities.Freeze, "the host has no freezer");
        await guest.Sandbox.FreezeAsync(CancellationToken.None);
        await guest.Sandbox.FreezeAsync(CancellationToken.None);
        await Eventually.True(() => HostProcesses.Frozen(HostProcesses.Instance(((NativeEngine)host.Engine).LauncherPid)) == 1, "the kernel says that it stands still");
        var answer = guest.InvokeAsync();
        answer.IsCompleted.ShouldBeFalse();
        await guest.Sandbox.ThawAsync(CancellationToken.None);
        int.Parse(await answer, CultureInfo.InvariantCulture).ShouldBeGreaterThan(0);
    }

    [Fact]
    public async Task A_frozen_sandbox_can_be_destroyed()
    {
        var guest = await host.StartAsync("python", "def handler(event, context): pass");
        await guest.Sandbox.FreezeAsync(CancellationToken.None);
        await guest.DisposeAsync();
        (await guest.ExitAsync()).KilledByPlatform.ShouldBeTrue();
    }

    [Fact]
    public async Task Peak_memory_is_that_of_the_measured_time_only()
    {
        const string Source = """
            def handler(event, context):
                data = b'x' * (event['mb'] * 1024 * 1024)
                return len(data)
            """;
        await using var guest = await host.StartAsync("python", Source);
        Assert.SkipUnless(host.Engine.Capabilities.PeakMemory, "the host cannot tell peak memory");
        var big = await PeakAsync(guest, 40);
        var small = await PeakAsync(guest, 1);
        big.ShouldBeGreaterThan(40L << 20);
        small.ShouldBeLessThan(big - (30L << 20));
    }

    [Theory]
    [InlineData("python", "def handler(event, context):\n    data = []\n    while True:\n        data.append(bytearray(1 << 20))", StartMode.Zygote)]
    [InlineData("python", "def handler(event, context):\n    data = []\n    while True:\n        data.append(bytearray(1 << 20))", StartMode.Exec)]
    [InlineData("nodejs", "exports.handler = async () => { const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1)); };", StartMode.Zygote)]
    [InlineData("nodejs", "exports.handler = async () => { const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 1)); };", StartMode.Exec)]
    public async Task Memory_beyond_the_limit_kills_the_sandbox_and_says_so(string language, string source, StartMode start)
    {
        await using var guest = await host.StartAsync(language, source, spec => spec with { Start = start });
        guest.Sandbox.Start.ShouldBe(start);
        await Should.ThrowAsync<GuestClosedException>(() => guest.InvokeAsync());
        var exit = await guest.ExitAsync();
        exit.OutOfMemory.ShouldBeTrue(exit.ToString());
    }

    [Fact]
    public async Task Tmp_is_accounted_beyond_memory_and_bounded()
    {
        const string Source = """
            import os
            def handler(event, context):
                with open('/tmp/big', 'wb') as f:
                    for _ in range(event['mb']):
                        f.write(b'x' * (1 << 20))
                size = os.path.getsize('/tmp/big')
                os.remove('/tmp/big')
                return size >> 20
            """;
        await using var guest = await host.StartAsync("python", Source, spec => spec with { TmpMb = 300 });
        (await guest.InvokeAsync("""{"mb":250}""")).ShouldBe("250");
        (await guest.InvokeAsync("""{"mb":400}""")).ShouldContain("No space left");
    }

    [Theory]
    [InlineData("import os\ndef handler(event, context): os._exit(7)", 7, null, StartMode.Zygote)]
    [InlineData("import os\ndef handler(event, context): os._exit(7)", 7, null, StartMode.Exec)]
    [InlineData("import os, signal\ndef handler(event, context): os.kill(os.getpid(), signal.SIGKILL)", null, 9, StartMode.Zygote)]
    [InlineData("import os, signal\ndef handler(event, context): os.kill(os.getpid(), signal.SIGKILL)", null, 9, StartMode.Exec)]
    [InlineData("import os\ndef handler(event, context): os.abort()", null, 6, StartMode.Zygote)]
    [InlineData("import os\ndef handler(event, context): os.abort()", null, 6, StartMode.Exec)]
    [InlineData("import ctypes\ndef handler(event, context): ctypes.string_at(0)", null, 11, StartMode.Zygote)]
    [InlineData("import ctypes\ndef handler(event, context): ctypes.string_at(0)", null, 11, StartMode.Exec)]
    public async Task How_a_guest_ended_is_told_truthfully(string source, int? code, int? signal, StartMode start)
    {
        await using var guest = await host.StartAsync("python", source, spec => spec with { Start = start });
        guest.Sandbox.Start.ShouldBe(start);
        await Should.ThrowAsync<GuestClosedException>(() => guest.InvokeAsync());
        (await guest.ExitAsync()).ShouldBe(new SandboxExit(code, signal, false, false));
    }

    [Fact]
    public async Task Fifty_sandboxes_at_once_answer_and_leave_nothing()
    {
        var guests = await Task.WhenAll(Enumerable.Range(0, 50).Select(_ =>
            host.StartAsync("python", "import os\ndef handler(event, context): return os.getuid()")));
        var uids = await Task.WhenAll(guests.Select(guest => guest.InvokeAsync()));
        uids.Distinct().Count().ShouldBe(50);
        await Task.WhenAll(guests.Select(guest => guest.DisposeAsync().AsTask()));
    }

    [Fact]
    public async Task Code_that_is_not_there_fails_the_guest_and_leaves_nothing()
    {
        Assert.SkipWhen(host.Missing is not null, host.Missing ?? "");
        var spec = new SandboxSpec
        {
            TenantId = "default",
            Runtime = host.Runtime("python"),
            CodeDirectory = host.Code() + "-missing",
            MemoryMb = 128,
            TmpMb = 16,
            Environment = new Dictionary<string, string>(),
        };
        var sandbox = await host.Engine.CreateAsync(spec, CancellationToken.None);
        (await sandbox.Exited.WaitAsync(TimeSpan.FromSeconds(20))).KilledByPlatform.ShouldBeTrue();
        await sandbox.DestroyAsync().WaitAsync(TimeSpan.FromSeconds(20));
    }

    private static async Task<long> PeakAsync(RunningGuest guest, int megabytes)
    {
        guest.Sandbox.ResetPeakMemory();
        (await guest.InvokeAsync($$"""{"mb":{{megabytes}}}""")).ShouldBe($"{megabytes << 20}");
        return guest.Sandbox.ReadPeakMemory().ShouldNotBeNull();
    }
}
