using System.Globalization;
using System.Text.Json;
using Flint.Engines.Native;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

/// <summary>Forked sandboxes with the real launcher and real interpreters.</summary>
public sealed class NativeZygoteTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    private const string Nothing = "def handler(event, context): return 1";

    [Fact]
    public async Task Every_runtime_of_the_host_has_a_zygote()
    {
        await using var engine = await host.StartEngineAsync();
        engine.Zygotes.Select(keeper => $"{keeper.Runtime}: {keeper.Trouble ?? "up"}").Order(StringComparer.Ordinal)
            .ShouldBe(engine.Capabilities.Runtimes.Select(name => $"{name}: up"));
        (await engine.ProbeAsync(CancellationToken.None)).Findings.ShouldNotContain(finding => finding.What.StartsWith("zygote", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("python", "PYTHONHASHSEED")]
    [InlineData("nodejs", "NODE_OPTIONS")]
    public async Task A_variable_that_the_interpreter_reads_at_boot_has_its_effect(string language, string variable)
    {
        var source = language == "python" ? "def handler(event, context): return hash('flint')" : "exports.handler = async () => process.execArgv.length + (process.env.NODE_OPTIONS || '').length";
        var value = language == "python" ? "7" : "--no-warnings";
        await using var guest = await host.StartAsync(language, source, spec => spec with { Environment = new Dictionary<string, string> { [variable] = value } });
        guest.Sandbox.Start.ShouldBe(StartMode.Exec);
        guest.Sandbox.StartReason!.ShouldContain(variable);
        long.Parse(await guest.InvokeAsync(), CultureInfo.InvariantCulture).ShouldNotBe(0);
    }

    [Theory]
    [InlineData("python")]
    [InlineData("nodejs")]
    public async Task A_killed_zygote_is_made_up_for_by_exec_until_it_is_back_and_its_guests_live_on(string language)
    {
        var options = new NativeEngineOptions { ReadySandboxes = 0 };
        await using var engine = await host.StartEngineAsync(options);
        var source = language == "python" ? Nothing : "exports.handler = async () => 1;";
        await using var survivor = await StartAsync(engine, host.Spec(language, source));
        survivor.Sandbox.Start.ShouldBe(StartMode.Zygote);
        survivor.Sandbox.Making.ShouldSatisfyAllConditions(making => making.Make.ShouldBeGreaterThan(TimeSpan.Zero), making => making.Fork.ShouldBeGreaterThan(TimeSpan.Zero), making => making.Enter.ShouldBeGreaterThan(TimeSpan.Zero));

        var keeper = engine.Zygotes.Single(keeper => keeper.Runtime == host.Runtime(language));
        var first = keeper.Current!;
        Descriptors.Kill(HostProcesses.Find(engine.LauncherPid, first.Pid));
        (await first.Gone.WaitAsync(TimeSpan.FromSeconds(20))).ShouldContain("signal 9");
        await using (var executed = await StartAsync(engine, host.Spec(language, source)))
        {
            // A machine that is slow enough may have a new one by now.
            if (executed.Sandbox.Start == StartMode.Exec)
            {
                executed.Sandbox.StartReason!.ShouldContain("zygote");
            }

            (await executed.InvokeAsync()).ShouldBe("1");
        }

        await Eventually.True(() => keeper.Current is { } second && second != first, "it is started again", boundSeconds: 60);
        await using var forked = await StartAsync(engine, host.Spec(language, source));
        forked.Sandbox.Start.ShouldBe(StartMode.Zygote);
        (await forked.InvokeAsync()).ShouldBe("1");
        (await survivor.InvokeAsync()).ShouldBe("1");
    }

    [Fact]
    public async Task An_old_zygote_is_replaced_and_its_guests_live_on()
    {
        var time = new ManualTimeProvider();
        await using var engine = await host.StartEngineAsync(new NativeEngineOptions { ReadySandboxes = 2 }, time);
        var firsts = engine.Zygotes.ToDictionary(keeper => keeper, keeper => keeper.Current!);
        await using var survivor = await StartAsync(engine, host.Spec("python", Nothing));
        time.Advance(TimeSpan.FromMilliseconds(new NativeEngineOptions().ZygoteLifetimeMs));
        foreach (var (keeper, first) in firsts)
        {
            await first.Gone.WaitAsync(TimeSpan.FromSeconds(60));
            keeper.Current.ShouldNotBeNull().ShouldNotBe(first);
        }

        // Those made ahead are the old one's, then come the new one's.
        for (var i = 0; i < 5; i++)
        {
            await using var guest = await StartAsync(engine, host.Spec("python", Nothing));
            guest.Sandbox.Start.ShouldBe(StartMode.Zygote);
            (await guest.InvokeAsync()).ShouldBe("1");
        }

        (await survivor.InvokeAsync()).ShouldBe("1");
    }

    [Theory]
    [InlineData("python", "import os\ndef handler(event, context): return os.getuid()")]
    [InlineData("nodejs", "exports.handler = async () => process.getuid();")]
    public async Task Two_hundred_cold_starts_at_once_all_succeed(string language, string source)
    {
        var spec = host.Spec(language, source);
        var guests = await Task.WhenAll(Enumerable.Range(0, 200).Select(_ => StartAsync(host.Engine, spec)));
        guests.ShouldAllBe(guest => guest.Sandbox.Start == StartMode.Zygote);
        var uids = await Task.WhenAll(guests.Select(guest => guest.InvokeAsync()));
        uids.Distinct().Count().ShouldBe(200);
        await Task.WhenAll(guests.Select(guest => guest.DisposeAsync().AsTask()));
    }

    [Theory]
    [InlineData("python", """
        import os, random, uuid, secrets, tempfile
        def handler(event, context):
            return [random.random(), str(uuid.uuid4()), str(uuid.uuid1()), secrets.token_hex(8), next(tempfile._get_candidate_names()), random.SystemRandom().random()]
        """)]
    [InlineData("nodejs", """
        const crypto = require('crypto');
        exports.handler = async () => [Math.random(), crypto.randomUUID(), crypto.randomBytes(8).toString('hex'), crypto.randomInt(1e12),
          crypto.webcrypto.getRandomValues(new Uint32Array(2)).join(), crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'sec1', format: 'pem' })];
        """)]
    public async Task Two_hundred_siblings_share_no_random_value(string language, string source)
    {
        var spec = host.Spec(language, source);
        var drawn = new List<string[]>();
        for (var batch = 0; batch < 10; batch++)
        {
            drawn.AddRange(await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => DrawAsync(spec))));
        }

        for (var kind = 0; kind < drawn[0].Length; kind++)
        {
            drawn.Select(values => values[kind]).Distinct().Count().ShouldBe(200, $"kind {kind}: {drawn[0][kind]}");
        }
    }

    [Theory]
    [InlineData(128)]
    [InlineData(1024)]
    [InlineData(8192)]
    public async Task Nodes_heap_limit_follows_the_memory_as_in_a_start_of_its_own(int memoryMb)
    {
        const string Source = "exports.handler = async () => Math.round(require('v8').getHeapStatistics().heap_size_limit / 1048576);";
        var limits = new List<int>();
        foreach (var start in (StartMode[])[StartMode.Zygote, StartMode.Exec])
        {
            await using var guest = await host.StartAsync("nodejs", Source, spec => spec with { MemoryMb = memoryMb, Start = start });
            guest.Sandbox.Start.ShouldBe(start);
            limits.Add(int.Parse(await guest.InvokeAsync(), CultureInfo.InvariantCulture));
        }

        // The young generation, counted in, is what differs.
        limits[0].ShouldBeInRange(limits[1] - 64, limits[1] + 64);
        limits[0].ShouldBeLessThan(memoryMb + 64);
    }

    [Theory]
    [InlineData(StartMode.Zygote)]
    [InlineData(StartMode.Exec)]
    public async Task A_heap_that_is_full_ends_the_process_with_words_in_either_mode(StartMode start)
    {
        const string Source = "exports.handler = async () => { const all = []; for (;;) all.push({ a: all.length, b: [1.5, 'x' + all.length] }); };";
        await using var guest = await host.StartAsync("nodejs", Source, spec => spec with { Start = start });
        await Should.ThrowAsync<GuestClosedException>(() => guest.InvokeAsync());
        var exit = await guest.ExitAsync();
        (exit.OutOfMemory || exit.Signal == 6).ShouldBeTrue(exit.ToString());
        if (exit.Signal == 6)
        {
            guest.LastLog.Lines.ShouldContain(line => line.Text.Contains("heap out of memory", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task Nothing_is_left_when_the_engine_is_disposed()
    {
        var engine = await host.StartEngineAsync();
        var launcher = engine.LauncherPid;
        var guests = new[]
        {
            await StartAsync(engine, host.Spec("python", Nothing)),
            await StartAsync(engine, host.Spec("nodejs", "exports.handler = async () => 1;")),
            await StartAsync(engine, host.Spec("python", Nothing) with { Start = StartMode.Exec }),
        };
        var processes = HostProcesses.Under(launcher);
        processes.Count.ShouldBeGreaterThan(8);
        var instance = HostProcesses.Instance(launcher);
        HostProcesses.Cgroups(instance).ShouldNotBeEmpty();

        await engine.DisposeAsync();
        processes.Where(HostProcesses.IsAlive).ShouldBeEmpty();
        HostProcesses.IsAlive(launcher).ShouldBeFalse();
        HostProcesses.Cgroups(instance).ShouldBeEmpty();
        foreach (var guest in guests)
        {
            await guest.DisposeAsync();
        }
    }

    private async Task<string[]> DrawAsync(SandboxSpec spec)
    {
        await using var guest = await StartAsync(host.Engine, spec);
        guest.Sandbox.Start.ShouldBe(StartMode.Zygote);
        using var answer = JsonDocument.Parse(await guest.InvokeAsync());
        return [.. answer.RootElement.EnumerateArray().Select(value => value.GetRawText())];
    }

    private static async Task<RunningGuest> StartAsync(ISandboxEngine engine, SandboxSpec spec) =>
        await RunningGuest.InitAsync(await engine.CreateAsync(spec, CancellationToken.None), spec.MemoryMb);
}
