using Flint.Engines.Native;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native;

/// <summary>Many idle sandboxes of many functions on one worker: the dispatcher and its pools over the real engine, with a clock that the test moves.</summary>
public sealed class DensityTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    private const int OfEach = 10;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(300);

    // Every invocation is in progress until the last one is, so that none takes the sandbox of another.
    private const string Source = """
        import os, time
        def handler(event, context):
            while not os.path.exists('/var/task/release'):
                time.sleep(0.1)
            return 1
        """;

    /// <summary>1,000 of 100 functions in long runs.</summary>
    [Fact]
    public async Task Warm_sandboxes_of_many_functions_are_frozen_small_and_expire_without_a_trace()
    {
        Assert.SkipWhen(host.Missing is not null, host.Missing ?? "");
        var functions = Environment.GetEnvironmentVariable("FLINT_TEST_LONG") is { Length: > 0 } ? 100 : 20;
        var count = functions * OfEach;
        var time = new ManualTimeProvider();
        var options = new SandboxOptions { MaxSandboxes = count, MemoryBudgetMb = 1_000_000, MemoryFloorMb = 0 };
        using var janitor = new SandboxJanitor(time, NullLogger<SandboxJanitor>.Instance);
        var engine = (NativeEngine)host.NewEngine(new NativeEngineOptions { ReadySandboxes = 0 });
        await using var engines = new EngineRegistry([engine], janitor, NullLogger<EngineRegistry>.Instance);
        await engines.StartAsync(CancellationToken.None);
        await NativeHostFixture.BootedAsync(engine);
        Assert.SkipUnless(engine.Capabilities.Freeze, "the host has no freezer");
        var pools = new SandboxPools(PoolLimits.From(options, HostMemory.Read()), janitor, time, NullLogger<SandboxPools>.Instance);
        using var dispatcher = new Dispatcher(pools, engines, options, new LimitOptions(), time, NullLogger<Dispatcher>.Instance);
        using var freezer = new IdleFreezer(pools, engines, time, NullLogger<IdleFreezer>.Instance);
        var instance = HostProcesses.Instance(engine.LauncherPid);
        var before = HostProcesses.Under(engine.LauncherPid).ToHashSet();
        var ofOneByItself = await OfOneByItselfAsync(engine, before);

        var specs = Enumerable.Range(0, functions).Select(number => Function(number, host.Code(("main.py", Source)))).ToList();
        var invocations = specs.SelectMany(spec => Enumerable.Repeat(spec, OfEach)).Select(spec => dispatcher.DispatchAsync(
            new InvocationRequest { Id = Guid.CreateVersion7().ToString(), Function = spec, Payload = "{}"u8.ToArray() }, default, default)).ToList();
        await Eventually.True(() => pools.Statistics().Busy == count || invocations.Exists(static invocation => invocation.IsCompleted), "all run at once", boundSeconds: (int)Patience.TotalSeconds);
        specs.ForEach(spec => File.WriteAllText(Path.Combine(spec.CodeDirectory, "release"), ""));
        var outcomes = await Task.WhenAll(invocations).WaitAsync(Patience);
        outcomes.ShouldAllBe(outcome => outcome.Status == InvocationStatus.Completed && outcome.Start == StartMode.Zygote);
        outcomes.Select(outcome => outcome.SandboxId).Distinct().Count().ShouldBe(count);

        time.Advance(TimeSpan.FromMilliseconds(options.FreezeAfterMs));
        await freezer.RunOnceAsync(CancellationToken.None);
        var idle = pools.Statistics();
        (idle.Live, idle.Idle, idle.Frozen).ShouldBe((count, count, count));
        await Eventually.True(() => HostProcesses.Frozen(instance) == count, "the kernel says that all stand still");
        var each = HostProcesses.ProportionalMb(HostProcesses.Under(engine.LauncherPid).Except(before)) / count;
        TestContext.Current.TestOutputHelper?.WriteLine($"{count} sandboxes: {each:F1} MB each; one by itself: {ofOneByItself:F1} MB");
        each.ShouldBeLessThan(ofOneByItself * 0.8, "a sandbox beside others shares with them what a sandbox by itself has alone");

        time.Advance(TimeSpan.FromMilliseconds(options.IdleLifetimeMs));
        pools.ExpireIdle();
        using var limit = new CancellationTokenSource(Patience);
        (await janitor.DrainAsync(limit.Token)).ShouldBe(0);
        pools.CheckInvariants();
        (pools.Statistics().Live, pools.Statistics().Counters.Expired).ShouldBe((0, count));
        await Eventually.True(() => HostProcesses.Under(engine.LauncherPid).All(before.Contains), "no process is left");
        HostProcesses.Cells(instance).ShouldBeEmpty();
        pools.Stop();
    }

    /// <summary>What a sandbox takes, in MB, whose interpreter was started for it alone.</summary>
    private async Task<double> OfOneByItselfAsync(NativeEngine engine, HashSet<int> before)
    {
        var spec = host.Spec("python", "def handler(event, context): return 1") with { Start = StartMode.Exec };
        await using var guest = await RunningGuest.InitAsync(await engine.CreateAsync(spec, CancellationToken.None), spec.MemoryMb);
        guest.Sandbox.Start.ShouldBe(StartMode.Exec);
        return HostProcesses.ProportionalMb(HostProcesses.Under(engine.LauncherPid).Except(before));
    }

    private FunctionSpec Function(int number, string code) => new()
    {
        TenantId = $"t{number % 10}",
        FunctionId = $"f{number}",
        Name = $"dense-{number}",
        Version = "$LATEST",
        Revision = "1",
        Runtime = host.Runtime("python"),
        Handler = "main.handler",
        CodeDirectory = code,
        MemoryMb = 128,
        TimeoutMs = 600_000,
        Freshness = Freshness.Warm,
    };
}
