using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Runtime.Tests.Pooling;

/// <summary>Thousands of invocations with random ends beside freezing, expiry, pressure, retirement and deaths, on the real clock.</summary>
public sealed class PoolStressTests
{
    [Theory]
    [InlineData(1, 6, 0)]
    [InlineData(2, 6, 2)]
    [InlineData(3, 40, 0)]
    [InlineData(4, 40, 8)]
    public async Task Nothing_is_lost_under_random_deaths(int seed, int maxSandboxes, int maxColdStarts)
    {
        const int Invocations = 3000;
        var options = new SandboxOptions { MaxSandboxes = maxSandboxes, MemoryBudgetMb = maxSandboxes * 350, QueueLimit = 64, QueueTimeoutMs = 20_000, FreezeAfterMs = 1, IdleLifetimeMs = 1000, MaxColdStarts = maxColdStarts };
        await using var plane = new Plane(TimeProvider.System, options, script: new FakeScript { OnEvent = e => AnswerAsync(e) });
        var broken = 0;
        plane.Engine.OnCreate = (_, _) => Random.Shared.Next(50) == 0 ? throw new EngineException("random") : Task.CompletedTask;
        plane.Engine.OnCreated = sandbox => sandbox.OnLifecycle = what => Random.Shared.Next(30) == 0 && Interlocked.Increment(ref broken) < 200
            ? throw new InvalidOperationException("random " + what) : Task.CompletedTask;
        plane.Engine.OnForked = fork => fork.OnLifecycle = what => Random.Shared.Next(50) == 0 && Interlocked.Increment(ref broken) < 200
            ? throw new InvalidOperationException("random " + what) : Task.CompletedTask;
        using var freezer = new IdleFreezer(plane.Pools, plane.Engines, plane.Time, NullLogger<IdleFreezer>.Instance);
        using var stop = new CancellationTokenSource();
        await freezer.StartAsync(default);
        var upkeep = UpkeepAsync(plane, stop.Token);

        var next = 0;
        var outcomes = new int[Enum.GetValues<FaultType>().Length + 1];
        var work = Task.WhenAll(Enumerable.Range(0, 24).Select(worker => Task.Run(async () =>
        {
            var random = new Random((seed * 1000) + worker);
            while (Interlocked.Increment(ref next) <= Invocations)
            {
                using var caller = new CancellationTokenSource();
                if (random.Next(20) == 0)
                {
                    caller.CancelAfter(random.Next(3));
                }
                var number = random.Next(7);
                var name = "f" + number;
                var spec = Plane.Function(name) with
                {
                    Revision = random.Next(100) == 0 ? "2" : "1",
                    TimeoutMs = 2000,
                    MemoryMb = random.Next(10) == 0 ? 900 : 128,
                    Freshness = number >= 5 ? Freshness.Snapshot : random.Next(8) == 0 ? Freshness.Fresh : Freshness.Warm,
                    CancelOnDisconnect = random.Next(2) == 0,
                    FunctionId = name,
                };
                var outcome = await plane.InvokeAsync(spec, caller.Token).WaitAsync(TimeSpan.FromSeconds(60));
                if (random.Next(3) == 0)
                {
                    // A pause about as long as the freeze grace, so that freezing and renting meet.
                    await Task.Delay(random.Next(3));
                }
                Interlocked.Increment(ref outcomes[outcome.Error is null ? 0 : (int)outcome.Error.Type + 1]);
            }
        })));
        // A broken invariant ends the upkeep, and the test with it.
        await await Task.WhenAny(work, upkeep);
        await stop.CancelAsync();
        await upkeep;
        await freezer.StopAsync(default);

        outcomes.Sum().ShouldBe(Invocations);
        outcomes[(int)FaultType.TimedOut + 1].ShouldBe(0, "no guest hangs, so a timeout means that a busy sandbox was frozen");
        if (maxSandboxes > 24)
        {
            // With room for all workers, sandboxes idle between two invocations, and freezing meets renting.
            plane.Engine.Sandboxes.Sum(sandbox => sandbox.Thaws).ShouldBeGreaterThan(0);
        }
        plane.Engine.Sandboxes.Sum(sandbox => sandbox.FakeTemplate?.Forks.Count ?? 0).ShouldBeGreaterThan(100);
        plane.Engine.Sandboxes.Sum(sandbox => sandbox.FakeTemplate?.Overlaps ?? 0).ShouldBe(0);
        outcomes[0].ShouldBeGreaterThan(Invocations / 2);
        plane.Dispatcher.InFlight.ShouldBe(0);
        plane.Engine.MostLive.ShouldBeLessThanOrEqualTo(options.MaxSandboxes);
        plane.Pools.ObserveHost(new HostMemory(8192, 4096));
        await Eventually.True(() => plane.Pools.Statistics().Renewing == 0, "all snapshots are renewed");
        await plane.SettleAsync();
        var end = plane.Pools.Statistics();
        (end.Busy, end.Creating, end.Waiting).ShouldBe((0, 0, 0));
        plane.Engine.Live.ShouldBe(end.Idle);

        plane.Pools.Stop();
        await plane.SettleAsync();
        plane.Pools.RenewalsEnded.IsCompleted.ShouldBeTrue();
        plane.Engine.Live.ShouldBe(0);
        plane.Pools.Statistics().Live.ShouldBe(0);
    }

    private static async ValueTask<FakeAnswer> AnswerAsync(FakeEvent e)
    {
        switch (Random.Shared.Next(60))
        {
            case 0:
                return new FakeAnswer.Exit(1);
            case 1:
                return new FakeAnswer.OutOfMemory();
            case 2:
                return new FakeAnswer.Raw([9, 9, 9, 9, 9, 9, 9, 9]);
            case 3:
                var sandbox = e.Sandbox;
                _ = Task.Delay(Random.Shared.Next(5)).ContinueWith(_ => sandbox.Die(new SandboxExit(1, null, false, false)));
                break;
            case 4:
                await Task.Delay(Random.Shared.Next(5));
                break;
        }
        return new FakeAnswer.Result(e.Payload);
    }

    private static async Task UpkeepAsync(Plane plane, CancellationToken stop)
    {
        var pressed = false;
        while (!stop.IsCancellationRequested)
        {
            await Task.Delay(7, CancellationToken.None);
            plane.Pools.CheckInvariants();
            plane.Pools.ExpireIdle();
            pressed = !pressed && Random.Shared.Next(10) == 0;
            plane.Pools.ObserveHost(new HostMemory(8192, pressed ? 10 : 4096));
            if (Random.Shared.Next(20) == 0)
            {
                plane.Pools.RetireFunction("default", "f" + Random.Shared.Next(7));
            }
            await plane.Janitor.RunOnceAsync(default);
        }
    }
}
