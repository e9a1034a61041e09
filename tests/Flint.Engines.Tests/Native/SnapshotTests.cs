using System.Text;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

/// <summary>Templates and their forks, against a launcher that obeys or fails as told.</summary>
public sealed class SnapshotTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly FakeLauncherHost _host = new();

    public void Dispose() => _host.Dispose();

    [Fact]
    public async Task Each_fork_is_a_sandbox_of_its_own_and_the_next_comes_when_it_is_destroyed()
    {
        await using var engine = await _host.StartAsync("");
        engine.Capabilities.NoSnapshot.ShouldBeNull();
        var sandbox = await TemplateAsync(engine);
        var ids = new HashSet<string> { sandbox.Id };
        for (var number = 1; number <= 3; number++)
        {
            var fork = await sandbox.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit);
            fork.Start.ShouldBe(StartMode.Zygote);
            fork.GuestEnvironment.ShouldBeNull();
            ids.Add(fork.Id).ShouldBeTrue();
            (await ReadAsync(fork, 5)).ShouldBe($"fork{number}");
            var raw = "";
            fork.AttachOutput((stream, bytes) => raw += $"{stream} {Encoding.UTF8.GetString(bytes)}");
            await fork.DrainOutputAsync(CancellationToken.None);
            raw.ShouldBe($"{LogStream.Stdout} raw fork\n");
            fork.Exited.IsCompleted.ShouldBeFalse();

            await fork.DestroyAsync().WaitAsync(Limit);
            (await fork.Exited.WaitAsync(Limit)).ShouldBe(new SandboxExit(null, 9, false, KilledByPlatform: true));
            sandbox.Exited.IsCompleted.ShouldBeFalse();
        }

        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task How_a_fork_ended_is_told_truthfully()
    {
        await using var engine = await _host.StartAsync("fork-exits");
        var sandbox = await TemplateAsync(engine);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None);
        (await fork.Exited.WaitAsync(Limit)).ShouldBe(new SandboxExit(3, null, false, false));
        await fork.DestroyAsync().WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task One_fork_lives_at_a_time()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await TemplateAsync(engine);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None);
        await Should.ThrowAsync<InvalidOperationException>(() => sandbox.Template.ForkAsync(CancellationToken.None));
        await fork.DestroyAsync().WaitAsync(Limit);
        Should.Throw<EngineException>(fork.ResetPeakMemory);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task What_makes_a_process_unsafe_is_named_in_harmless_text()
    {
        await using var engine = await _host.StartAsync("unsafe");
        var sandbox = await TemplateAsync(engine);
        for (var i = 0; i < 2; i++)
        {
            var failure = await Should.ThrowAsync<SnapshotUnsafeException>(() => sandbox.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit));
            failure.Findings.ShouldBe(["a thread worker\uFFFD", "a socket"]);
        }

        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_template_that_cannot_be_forked_again_ends_with_its_sandbox()
    {
        await using var engine = await _host.StartAsync("renew-fails");
        var sandbox = await TemplateAsync(engine);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None);
        await fork.DestroyAsync().WaitAsync(Limit);
        (await Should.ThrowAsync<EngineException>(() => sandbox.Template.ForkAsync(CancellationToken.None).WaitAsync(Limit))).Message.ShouldContain("no fork");
        await sandbox.Exited.WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_template_that_does_not_do_its_part_is_the_functions_fault()
    {
        await using var engine = await _host.StartAsync("template-fails");
        var sandbox = await TemplateAsync(engine);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None);
        await fork.DestroyAsync().WaitAsync(Limit);
        (await Should.ThrowAsync<SnapshotUnsafeException>(() => sandbox.Template.ForkAsync(CancellationToken.None).WaitAsync(Limit))).Findings.Single().ShouldContain("no fork");
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_template_that_is_destroyed_takes_its_fork_along()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await TemplateAsync(engine);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None);
        await sandbox.DestroyAsync().WaitAsync(Limit);
        (await fork.Exited.WaitAsync(Limit)).Signal.ShouldBe(9);
        await fork.DestroyAsync().WaitAsync(Limit);
        await Should.ThrowAsync<EngineException>(() => sandbox.Template.ForkAsync(CancellationToken.None).WaitAsync(Limit));
    }

    [Fact]
    public async Task A_fork_that_nobody_waited_for_is_the_next_callers()
    {
        await using var engine = await _host.StartAsync("");
        var sandbox = await TemplateAsync(engine);
        await Should.ThrowAsync<OperationCanceledException>(() => sandbox.Template!.ForkAsync(new CancellationToken(canceled: true)));
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit);
        (await ReadAsync(fork, 5)).ShouldBe("fork1");
        await fork.DestroyAsync().WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_launcher_that_ends_takes_template_and_fork_along()
    {
        var engine = await _host.StartAsync("");
        var sandbox = await TemplateAsync(engine);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None);
        await engine.DisposeAsync();
        (await fork.Exited.WaitAsync(Limit)).KilledByPlatform.ShouldBeTrue();
        await fork.DestroyAsync().WaitAsync(Limit);
        await sandbox.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task A_fork_that_was_not_renewed_in_time_is_gone_with_its_sandbox()
    {
        var time = new ManualTimeProvider();
        using var host = new FakeLauncherHost { Time = time };
        await using var engine = await host.StartAsync("renew-hangs");
        var sandbox = await TemplateAsync(engine, host);
        var fork = await sandbox.Template!.ForkAsync(CancellationToken.None).WaitAsync(Limit);
        var first = fork.DestroyAsync();
        time.Advance(TimeSpan.FromSeconds(31));
        (await Should.ThrowAsync<EngineException>(() => first.WaitAsync(Limit))).Message.ShouldContain("30 s");
        await sandbox.DestroyAsync().WaitAsync(Limit);
        await fork.DestroyAsync().WaitAsync(Limit);
    }

    [Fact]
    public async Task Nobody_waits_on_for_a_zygote_whose_launcher_ends_while_it_boots()
    {
        var engine = await _host.StartAsync("zygotes-hang");
        var waiting = engine.CreateAsync(_host.Spec() with { Snapshot = true }, CancellationToken.None);
        await engine.CreateAsync(_host.Spec() with { Start = StartMode.Exec }, CancellationToken.None); // by then the one before waits
        await engine.DisposeAsync();
        await Should.ThrowAsync<EngineException>(() => waiting.WaitAsync(Limit));
    }

    [Fact]
    public async Task A_snapshot_of_an_executed_function_is_refused()
    {
        await using var engine = await _host.StartAsync("");
        var spec = _host.Spec() with { Snapshot = true, Start = StartMode.Exec };
        (await Should.ThrowAsync<EngineException>(() => engine.CreateAsync(spec, CancellationToken.None))).Message.ShouldContain("exec");
        spec = _host.Spec() with { Snapshot = true, Environment = new Dictionary<string, string> { ["LD_X"] = "1" } };
        var refused = await Should.ThrowAsync<SnapshotUnsafeException>(() => engine.CreateAsync(spec, CancellationToken.None));
        refused.Message.ShouldContain("LD_X");
        refused.Advice!.ShouldContain("variable");
        engine.BootVariable(spec.Runtime, spec.Environment).ShouldBe("LD_X");
        engine.BootVariable(spec.Runtime, new Dictionary<string, string> { ["X"] = "1" }).ShouldBeNull();
        engine.BootVariable("cobol85", spec.Environment).ShouldBeNull();
    }

    private Task<ISandbox> TemplateAsync(ISandboxEngine engine) => TemplateAsync(engine, _host);

    private static async Task<ISandbox> TemplateAsync(ISandboxEngine engine, FakeLauncherHost host)
    {
        var sandbox = await engine.CreateAsync(host.Spec() with { Snapshot = true }, CancellationToken.None);
        await sandbox.Channel.ReadExactlyAsync(new byte[4]).AsTask().WaitAsync(Limit);
        return sandbox;
    }

    private static async Task<string> ReadAsync(ISandbox sandbox, int count)
    {
        var bytes = new byte[count];
        await sandbox.Channel.ReadExactlyAsync(bytes).AsTask().WaitAsync(Limit);
        return Encoding.UTF8.GetString(bytes);
    }
}
