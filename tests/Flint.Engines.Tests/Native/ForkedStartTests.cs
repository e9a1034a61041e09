using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

/// <summary>When a sandbox is forked, and what is said when it is not.</summary>
public sealed class ForkedStartTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly FakeLauncherHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public async Task A_sandbox_is_forked_and_its_guest_told_its_environment()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await engine.CreateAsync(_host.Spec(memoryMb: 256), CancellationToken.None);
        sandbox.Start.ShouldBe(StartMode.Zygote);
        sandbox.StartReason.ShouldBeNull();
        sandbox.Template.ShouldBeNull();
        sandbox.GuestEnvironment!.OrderBy(pair => pair.Key, StringComparer.Ordinal).Select(pair => $"{pair.Key}={pair.Value}").ShouldBe(["A=1", "LANG=C"]);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Theory]
    [InlineData("LANG", "de", "LANG")]
    [InlineData("LD_PRELOAD", "x.so", "LD_PRELOAD")]
    [InlineData("LANG", "C", null)]
    [InlineData("LANGUAGE", "de", null)]
    public async Task A_variable_that_is_read_at_boot_needs_a_start_of_its_own_unless_it_says_the_same(string name, string value, string? named)
    {
        await using var engine = await _host.StartAsync("");
        var spec = _host.Spec() with { Environment = new Dictionary<string, string> { [name] = value } };
        var sandbox = await engine.CreateAsync(spec, CancellationToken.None);
        sandbox.Start.ShouldBe(named is null ? StartMode.Zygote : StartMode.Exec);
        if (named is not null)
        {
            sandbox.StartReason!.ShouldContain(named);
            sandbox.GuestEnvironment.ShouldBeNull();
        }

        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_function_that_wants_exec_gets_it_without_a_reason()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await engine.CreateAsync(_host.Spec() with { Start = StartMode.Exec }, CancellationToken.None);
        sandbox.Start.ShouldBe(StartMode.Exec);
        sandbox.StartReason.ShouldBeNull();
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task Switched_off_zygotes_are_said_with_their_knob()
    {
        await using var engine = await FakeLauncherHost.StartAsync(_host.NewEngine("", new NativeEngineOptions { Zygotes = false }));
        await ExecutedBecauseAsync(engine, "Flint:Sandbox:Native:Zygotes");
        engine.Capabilities.NoSnapshot!.ShouldContain("Flint:Sandbox:Native:Zygotes");
    }

    [Fact]
    public async Task A_host_without_zygotes_executes_and_says_so()
    {
        await using var engine = await _host.StartAsync("no-zygotes");
        await ExecutedBecauseAsync(engine, "no zygotes");
    }

    [Fact]
    public async Task A_build_without_the_zygotes_library_executes_and_says_so()
    {
        File.Delete(_host.Library);
        await using var engine = await _host.StartAsync("");
        await ExecutedBecauseAsync(engine, "libflint-zygote.so");
        (await engine.ProbeAsync(CancellationToken.None)).Findings.Single(finding => finding.What == "zygotes").Fix.ShouldContain("./run");
        await using var unstarted = _host.NewEngine("");
        (await unstarted.ProbeAsync(CancellationToken.None)).Findings.ShouldContain(finding => finding.What == "zygotes");
    }

    [Fact]
    public async Task A_zygote_that_does_not_start_is_said_everywhere()
    {
        await using var engine = await _host.StartAsync("zygotes-fail");
        await ExecutedBecauseAsync(engine, "no module");
        var report = await engine.ProbeAsync(CancellationToken.None);
        report.Available.ShouldBeTrue();
        var finding = report.Findings.Single(finding => finding.What == "zygote python3.11");
        finding.Why.ShouldContain("no module");
        finding.Blocking.ShouldBeFalse();
    }

    [Fact]
    public async Task A_zygote_that_cannot_fork_holds_up_no_request()
    {
        await using var engine = await _host.StartAsync("fork-fails");
        await ExecutedBecauseAsync(engine, "not allowed");
    }

    [Fact]
    public async Task A_zygote_that_ended_is_made_up_for_by_exec_until_it_is_back()
    {
        await using var engine = await FakeLauncherHost.StartAsync(_host.NewEngine("zygotes-die-at-guest", new NativeEngineOptions { ReadySandboxes = 0 }));
        (await StartOfAsync(engine)).ShouldBe(StartMode.Zygote);
        await EventuallyAsync(engine, StartMode.Exec);
        await EventuallyAsync(engine, StartMode.Zygote);
    }

    [Fact]
    public async Task Guests_that_were_forked_ahead_outlive_their_zygote()
    {
        await using var engine = await FakeLauncherHost.StartAsync(_host.NewEngine("zygotes-die-at-guest", new NativeEngineOptions { ReadySandboxes = 3 }));
        (await StartOfAsync(engine)).ShouldBe(StartMode.Zygote);
        await Eventually.True(() => ((NativeEngine)engine).ReadyCells >= 3, "the stock is full");
        (await StartOfAsync(engine)).ShouldBe(StartMode.Zygote);
        (await StartOfAsync(engine)).ShouldBe(StartMode.Zygote);
    }

    [Fact]
    public async Task Another_protocol_is_refused_with_advice()
    {
        (await Should.ThrowAsync<EngineException>(() => _host.StartAsync("other-protocol"))).Message.ShouldContain("protocol 1");
        await using var engine = _host.NewEngine("other-protocol");
        (await engine.ProbeAsync(CancellationToken.None)).Summary.ShouldContain("./run");
    }

    [Fact]
    public async Task A_way_out_that_the_host_does_not_have_is_refused()
    {
        await using var engine = await _host.StartAsync("");
        engine.Capabilities.NoEgress.ShouldNotBeNull();
        await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(_host.Spec() with { Network = NetworkAccess.Egress }, CancellationToken.None));
    }

    private async Task ExecutedBecauseAsync(ISandboxEngine engine, string reason)
    {
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        sandbox.Start.ShouldBe(StartMode.Exec);
        sandbox.StartReason!.ShouldContain(reason);
        await sandbox.DestroyAsync().WaitAsync(Limit);
        (await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(_host.Spec() with { Snapshot = true }, CancellationToken.None))).Message.ShouldContain(reason);
    }

    private async Task<StartMode> StartOfAsync(ISandboxEngine engine)
    {
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        await sandbox.Channel.ReadExactlyAsync(new byte[4]).AsTask().WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
        return sandbox.Start;
    }

    private async Task EventuallyAsync(ISandboxEngine engine, StartMode start)
    {
        using var limit = new CancellationTokenSource(Limit);
        while (await StartOfAsync(engine) != start)
        {
            limit.Token.ThrowIfCancellationRequested();
        }
    }
}
