using System.Buffers.Binary;
using System.Text;
using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

/// <summary>The engine against a launcher that misbehaves on demand: what a real one rarely does.</summary>
public sealed class FakeLauncherTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly FakeLauncherHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public async Task A_sandbox_moves_bytes_and_raw_output_and_is_destroyed()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await engine.CreateAsync(_host.Spec(memoryMb: 256), CancellationToken.None);
        var seen = new List<string>();
        sandbox.AttachOutput((stream, bytes) => seen.Add($"{stream}: {Encoding.UTF8.GetString(bytes)}"));

        var memory = new byte[4];
        await sandbox.Channel.ReadExactlyAsync(memory).AsTask().WaitAsync(Limit);
        BinaryPrimitives.ReadInt32LittleEndian(memory).ShouldBe(256);
        await sandbox.DrainOutputAsync(CancellationToken.None);
        string.Join("", seen.Order()).ShouldBe("Stderr: raw err\nStdout: raw out\n");

        await sandbox.DestroyAsync().WaitAsync(Limit);
        var exit = await sandbox.Exited.WaitAsync(Limit);
        exit.Signal.ShouldBe(9);
        exit.KilledByPlatform.ShouldBeTrue();
    }

    [Fact]
    public async Task A_quota_that_the_host_cannot_enforce_is_refused_unless_that_is_allowed()
    {
        var spec = _host.Spec() with { CpuQuotaMilli = 500 };
        await using (var engine = await _host.StartAsync("no-cpu"))
        {
            engine.Capabilities.NoCpuQuota.ShouldNotBeNull();
            (await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(spec, CancellationToken.None))).Message.ShouldContain("AllowUnenforced");
            // Without one it is a sandbox like any other.
            await (await engine.CreateAsync(_host.Spec(), CancellationToken.None)).DestroyAsync().WaitAsync(Limit);
        }

        await using (var engine = await FakeLauncherHost.StartAsync(_host.NewEngine("no-cpu", "cpu")))
        {
            await (await engine.CreateAsync(spec, CancellationToken.None)).DestroyAsync().WaitAsync(Limit);
        }

        await using (var engine = await _host.StartAsync(""))
        {
            await (await engine.CreateAsync(spec, CancellationToken.None)).DestroyAsync().WaitAsync(Limit);
            await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(spec with { CpuQuotaMilli = 0 }, CancellationToken.None));
        }
    }

    [Fact]
    public async Task A_launcher_that_takes_nothing_holds_up_no_caller_and_gets_it_all_later_in_order()
    {
        const int Count = 12;
        var engine = _host.NewEngine("", new NativeEngineOptions { ReadySandboxes = Count });
        await using var started = await FakeLauncherHost.StartAsync(engine);
        // Together more than a socket's buffer takes.
        var spec = _host.Spec() with { Start = StartMode.Exec, Environment = new Dictionary<string, string> { ["A"] = new string('a', 60_000) } };
        await (await engine.CreateAsync(spec, CancellationToken.None)).DestroyAsync().WaitAsync(Limit);
        using var limit = new CancellationTokenSource(Limit);
        while (engine.ReadyCells < Count)
        {
            await Task.Yield();
            limit.Token.ThrowIfCancellationRequested();
        }

        Descriptors.Stop(engine.LauncherPid);
        List<Task<ISandbox>> creating;
        try
        {
            // On a thread of its own, so that one that waits is an error and not a test that hangs.
            creating = await Task.Run(() => Enumerable.Range(0, Count).Select(_ => engine.CreateAsync(spec, CancellationToken.None)).ToList()).WaitAsync(Limit);
            creating.ShouldAllBe(task => task.IsCompletedSuccessfully);
        }
        finally
        {
            Descriptors.Continue(engine.LauncherPid);
        }

        foreach (var sandbox in await Task.WhenAll(creating))
        {
            await sandbox.Channel.ReadExactlyAsync(new byte[4]).AsTask().WaitAsync(Limit);
            await sandbox.DestroyAsync().WaitAsync(Limit);
        }
    }

    [Fact]
    public async Task It_is_known_whose_the_questions_from_an_address_are_while_the_sandbox_lives()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);

        var askers = engine.ShouldBeOfType<NativeEngine>().Askers!;
        var (address, function) = askers.All.ShouldHaveSingleItem();
        address.ToString().ShouldStartWith("198.18.1.");
        function.ShouldBe($"{_host.Spec().TenantId}/{_host.Spec().CodeDirectory}");

        await sandbox.DestroyAsync().WaitAsync(Limit);
        askers.All.ShouldBeEmpty();
    }

    [Fact]
    public async Task Output_that_nobody_listens_to_waits_for_its_listener()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        await sandbox.Channel.ReadExactlyAsync(new byte[4]).AsTask().WaitAsync(Limit);

        var both = new TaskCompletionSource();
        var bytesSeen = 0;
        sandbox.AttachOutput((_, bytes) =>
        {
            if (Interlocked.Add(ref bytesSeen, bytes.Length) == 16)
            {
                both.TrySetResult();
            }
        });
        await both.Task.WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task Disposing_it_again_is_harmless()
    {
        var engine = await _host.StartAsync("");
        await engine.DisposeAsync();
        await engine.DisposeAsync();
    }

    [Fact]
    public async Task A_guest_that_ends_by_itself_is_reported_as_it_ended()
    {
        await using var engine = await _host.StartAsync("exit-by-itself");
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        (await sandbox.Exited.WaitAsync(Limit)).ShouldBe(new SandboxExit(7, null, false, false));
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_launcher_that_cannot_start_says_why()
    {
        var failure = await Should.ThrowAsync<EngineException>(() => _host.StartAsync("die-at-start"));
        failure.Message.ShouldContain("no namespaces here");
    }

    [Fact]
    public async Task A_launcher_that_begins_with_nonsense_is_refused()
    {
        await Should.ThrowAsync<EngineException>(() => _host.StartAsync("bad-hello"));
    }

    [Fact]
    public async Task A_host_without_memory_control_is_refused_with_reason_and_knob()
    {
        var failure = await Should.ThrowAsync<EngineException>(() => _host.StartAsync("no-memory"));
        failure.Message.ShouldContain("no controller; mount one");
        failure.Message.ShouldContain("Flint:Sandbox:AllowUnenforced");
    }

    [Fact]
    public async Task An_allowed_missing_limit_is_shown_and_not_refused()
    {
        await using var engine = await _host.StartAsync("no-memory", "memory");
        engine.Capabilities.Unenforced.ShouldBe(["memory"]);
        var report = await engine.ProbeAsync(CancellationToken.None);
        report.Available.ShouldBeTrue();
        report.Findings.ShouldContain(finding => finding.What == "memory" && !finding.Blocking);
    }

    [Fact]
    public async Task A_host_that_can_make_no_cell_is_reported_as_unavailable()
    {
        await using var engine = _host.NewEngine("no-cells");
        var report = await engine.ProbeAsync(CancellationToken.None);
        report.Available.ShouldBeFalse();
        report.Summary.ShouldContain("no namespaces");
        report.Findings.ShouldContain(finding => finding.What == "cells" && finding.Blocking);
    }

    [Fact]
    public async Task A_cell_that_cannot_be_made_fails_the_request_with_its_reason()
    {
        await using var engine = await _host.StartAsync("fail-cells");
        var failure = await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(_host.Spec(), CancellationToken.None));
        failure.Message.ShouldContain("cgroup");
        failure.Message.ShouldContain("not allowed");
    }

    [Fact]
    public async Task Nobody_waits_on_for_cells_that_cannot_be_made()
    {
        await using var engine = await _host.StartAsync("fail-cells");
        var requests = Enumerable.Range(0, 20).Select(_ => engine.CreateAsync(_host.Spec(), CancellationToken.None)).ToArray();
        foreach (var request in requests)
        {
            (await Should.ThrowAsync<EngineException>(() => request.WaitAsync(Limit))).Message.ShouldContain("not allowed");
        }
    }

    [Fact]
    public async Task Something_left_behind_fails_the_destroy()
    {
        await using var engine = await _host.StartAsync("linger");
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        (await Should.ThrowAsync<EngineException>(() => sandbox.DestroyAsync().WaitAsync(Limit))).Message.ShouldContain("a mount");
    }

    [Fact]
    public async Task A_sandbox_that_did_not_die_in_time_is_destroyed_by_the_next_attempt()
    {
        var time = new ManualTimeProvider();
        using var host = new FakeLauncherHost { Time = time };
        await using var engine = await host.StartAsync("kill-hangs");
        var sandbox = await engine.CreateAsync(host.Spec(), CancellationToken.None);
        var first = sandbox.DestroyAsync();
        time.Advance(TimeSpan.FromSeconds(31));
        (await Should.ThrowAsync<EngineException>(() => first.WaitAsync(Limit))).Message.ShouldContain("30 s");
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_dead_launcher_ends_its_sandboxes_and_is_replaced()
    {
        await using var engine = await _host.StartAsync("die-at-guest");
        var lost = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        (await lost.Exited.WaitAsync(Limit)).KilledByPlatform.ShouldBeTrue();
        await lost.DestroyAsync().WaitAsync(Limit);

        _host.Behave("");
        var sandbox = await FakeLauncherHost.EventuallyAsync(() => engine.CreateAsync(_host.Spec(), CancellationToken.None));
        await sandbox.Channel.ReadExactlyAsync(new byte[4]).AsTask().WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_replacement_that_enforces_less_is_not_used()
    {
        await using var engine = await _host.StartAsync("die-at-guest");
        _host.Behave("no-memory");
        var lost = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        await lost.Exited.WaitAsync(Limit);
        await lost.DestroyAsync().WaitAsync(Limit);

        // The third launcher is started only when the second was refused.
        using var limit = new CancellationTokenSource(Limit);
        while (_host.Starts < 3)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System, limit.Token);
        }

        await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(_host.Spec(), CancellationToken.None));
    }

    [Fact]
    public async Task A_launcher_that_cannot_be_restarted_is_said_as_trouble()
    {
        await using var engine = await _host.StartAsync("die-at-guest");
        engine.Trouble.ShouldBeNull();
        _host.Behave("die-at-start die-at-guest");
        var lost = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        await lost.Exited.WaitAsync(Limit);
        await Eventually.True(() => engine.Trouble?.Contains("no namespaces here", StringComparison.Ordinal) == true, "the reason of the failed restart is said");
        await lost.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_sandbox_can_be_destroyed_after_its_engine()
    {
        var engine = await _host.StartAsync("");
        var sandbox = await engine.CreateAsync(_host.Spec(), CancellationToken.None);
        await engine.DisposeAsync();
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task Code_outside_the_code_directory_is_refused()
    {
        await using var engine = await _host.StartAsync("");
        var spec = _host.Spec() with { CodeDirectory = "/etc" };
        await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(spec, CancellationToken.None));
    }
}
