using System.Diagnostics;
using Flint.Runtime.Invocation;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>
/// All bombs at once, in every mode: for 20 seconds in <c>./test</c>, for ten minutes in <c>./test long</c>. Meanwhile every failure is the bomb's own and the neighbour answers; afterwards
/// the host is as it was: no process, mount, cgroup, file, namespace or descriptor is left, and the server has not grown.
/// </summary>
public sealed class BombTests(Workers workers)
{
    private const int AtOnce = 5;
    private static readonly TimeSpan NeighbourPatience = TimeSpan.FromSeconds(10);

    private static readonly (string Handler, Languages Language, string Payload, int TimeoutMs)[] Bombs =
    [
        ("processes.exponential_fork_bomb", Languages.Python, """{"bomb":true}""", 1500),
        ("processes.fork_bomb", Languages.Python, """{"children":1100}""", 5000),
        ("processes.fork_bomb", Languages.Node, """{"children":1100}""", 5000),
        ("processes.kill_everything", Languages.Python, """{"own":false}""", 3000),
        ("cpu.children_that_spin", Languages.Python, """{"seconds":30,"children":8}""", 1000),
        ("cpu.daemon", Languages.Python, """{"seconds":600}""", 3000),
        ("cpu.daemon", Languages.Node, """{"seconds":600}""", 3000),
        ("cpu.busy_loop", Languages.Node, """{"seconds":30}""", 700),
        ("memory.alloc_bomb", Languages.Python, """{"mb":300}""", 10_000),
        ("memory.alloc_bomb", Languages.Node, """{"mb":300}""", 10_000),
        ("memory.fork_touch", Languages.Python, """{"mb":50,"children":6}""", 10_000),
        ("memory.heap_bomb", Languages.Node, """{"mb":300}""", 10_000),
        ("disk.fill_tmp", Languages.Python, """{"mb":96}""", 5000),
        ("disk.inode_bomb", Languages.Node, """{"files":9000}""", 5000),
        ("disk.deep_tree", Languages.Python, """{"levels":5000}""", 5000),
        ("races.swap_links", Languages.Python, """{"seconds":0.2,"goOn":true}""", 5000),
        ("ipc.descriptors", Languages.Python, """{"count":2000}""", 5000),
        ("clocks.timer_storm", Languages.Python, """{"timers":100,"seconds":0.4}""", 5000),
        ("clocks.signal_queue", Languages.Python, """{"signals":5000000}""", 5000),
        ("protocol.log_frames", Languages.Python, """{"seconds":30}""", 1000),
        ("protocol.log_frames", Languages.Node, """{"seconds":30}""", 1000),
        ("protocol.raw_output", Languages.Node, """{"what":"much","mb":50}""", 10_000),
        ("protocol.close_streams", Languages.Python, """{"numbers":[0,1,2,3]}""", 3000),
        ("protocol.speak", Languages.Python, """{"say":"garbage"}""", 3000),
        ("exits.end", Languages.Python, """{"how":"abort"}""", 3000),
        ("exits.end", Languages.Python, """{"how":"exit 0"}""", 3000),
        ("exits.end", Languages.Node, """{"how":"exit 137"}""", 3000),
        ("exits.end", Languages.Node, """{"how":"unhandled rejection"}""", 3000),
        ("tenancy.visit", Languages.Python, "{}", 5000),
        ("tenancy.visit", Languages.Node, "{}", 5000),
        ("snapshot.either", Languages.Python, """{"what":"a killed template"}""", 5000),
        ("snapshot.either", Languages.Python, """{"what":"everything killed"}""", 5000),
        ("snapshot.either", Languages.Python, """{"what":"a daemon that forks on and on"}""", 5000),
        ("snapshot.either", Languages.Node, """{"what":"a stopped template"}""", 5000),
    ];

    [Fact]
    public async Task All_bombs_at_once_leave_the_host_as_it_was()
    {
        var seconds = Environment.GetEnvironmentVariable("FLINT_TEST_LONG") is { Length: > 0 } ? 600 : 20;
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"{seconds} s, seed {seed}");
        (await workers.ProductAsync()).ShouldNotBeNull();
        var before = HostState.Take(workers.Code.Path);
        var worker = await TestWorker.StartAsync(workers.Code, number: 500, removedWalls: null, CancellationToken.None);
        var bench = new Bench(worker);
        await bench.SettleAsync();
        var launcherBefore = worker.Leftovers.LauncherDescriptors();
        await using var memory = new MemoryWatch();

        var ran = await ThrowAsync(bench, TimeSpan.FromSeconds(seconds), seed);

        TestContext.Current.TestOutputHelper?.WriteLine(string.Join('\n', ran.GroupBy(static one => one).OrderBy(static group => group.Key).Select(static group => $"{group.Count(),5} {group.Key}")));
        ran.Count.ShouldBeGreaterThan(seconds);
        worker.RetireAll();
        await bench.NothingIsLeftAsync(worker.Function(bench.Runtime(Languages.Python), "neighbour.handler", "python"));
        await Eventually.True(() => worker.Leftovers.CgroupsOfAll(worker.Tenants.Skip(1)).Count == 0, "no cgroup left", 20, () => string.Join(", ", worker.Leftovers.CgroupsOfAll(worker.Tenants.Skip(1))));
        worker.Leftovers.LauncherDescriptors().ShouldBeLessThanOrEqualTo(launcherBefore + 8, "descriptors of the launcher");
        await memory.ShouldHaveStayedFlatAsync(heapMb: 160, residentMb: 400);

        await worker.DisposeAsync();
        await Eventually.True(() => worker.Leftovers.All().Count == 0, "no process of the worker's", 20, () => string.Join(", ", worker.Leftovers.All()));
        var after = HostState.Take(workers.Code.Path);
        after.Mounts.ShouldBe(before.Mounts);
        after.Files.Except(before.Files).ShouldBeEmpty("files in /tmp");
        after.Namespaces.Except(before.Namespaces).ShouldBeEmpty("namespaces held by this process");
        after.Descriptors.ShouldBeLessThanOrEqualTo(before.Descriptors + 16, "descriptors of the server");
    }

    /// <summary>Group 22: one tenant at every limit at once. The neighbours' latency is printed, and published in docs/security-model.md; only that they answer is asserted.</summary>
    [Fact]
    public async Task A_tenant_at_every_limit_leaves_its_neighbours_answering()
    {
        var bench = await workers.ProductAsync();
        var quiet = await MeasureAsync(bench, CancellationToken.None);
        var attacker = bench.Function("cpu.busy_loop", Languages.Python);
        (string Handler, string Payload)[] limits =
        [
            ("cpu.children_that_spin", """{"seconds":60,"children":8}"""), ("cpu.busy_loop", """{"seconds":60}"""), ("memory.alloc_bomb", """{"mb":300}"""),
            ("processes.fork_bomb", """{"children":1100}"""), ("disk.fill_tmp", """{"mb":96}"""), ("protocol.log_frames", """{"seconds":60}"""),
            ("clocks.timer_storm", """{"timers":100,"seconds":60}"""), ("races.swap_links", """{"seconds":60,"goOn":true}"""),
        ];
        using var enough = new CancellationTokenSource();
        var rages = limits.Select(static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToArray();
        var storm = limits.Select(async (limit, index) =>
        {
            while (!enough.IsCancellationRequested)
            {
                var function = bench.Function(limit.Handler, Languages.Python) with { TenantId = attacker.TenantId, TimeoutMs = 1500 };
                await bench.Worker.InvokeAsync(function, limit.Payload);
                rages[index].TrySetResult();
            }
        }).ToList();
        await Task.WhenAll(rages.Select(static rage => rage.Task));

        var stormy = await MeasureAsync(bench, CancellationToken.None);
        await enough.CancelAsync();
        await Task.WhenAll(storm);

        TestContext.Current.TestOutputHelper?.WriteLine($"a warm neighbour's call, ms: alone {quiet}; beside one tenant at {limits.Length} limits at once {stormy}");
        await bench.NothingIsLeftAsync(attacker);
    }

    /// <summary>Calls the neighbour for four seconds, long enough that every one of the storm's programs runs beside it.</summary>
    private static async Task<string> MeasureAsync(Bench bench, CancellationToken cancellationToken)
    {
        var took = new List<double>();
        for (var first = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(first) < TimeSpan.FromSeconds(4);)
        {
            var began = Stopwatch.GetTimestamp();
            await bench.NeighbourAnswersAsync().WaitAsync(NeighbourPatience, cancellationToken);
            took.Add(Stopwatch.GetElapsedTime(began).TotalMilliseconds);
        }

        took.Sort();
        return $"{took.Count} calls, p50 {took[took.Count / 2]:F2}, p95 {took[took.Count * 95 / 100]:F2}, p99 {took[took.Count * 99 / 100]:F2}, most {took[^1]:F2}";
    }

    /// <summary>Throws bombs in random order until the time is over; gives what each ended as.</summary>
    private static async Task<IReadOnlyList<string>> ThrowAsync(Bench bench, TimeSpan time, int seed)
    {
        var began = Stopwatch.GetTimestamp();
        var random = new Random(seed);
        var ended = new List<string>();
        var functions = Modes.Built.SelectMany(mode => Bombs.Select(bomb => (
            Name: $"{mode} {bomb.Handler} {bomb.Language}",
            Function: bench.Function(bomb.Handler, bomb.Language).In(mode) with { TimeoutMs = bomb.TimeoutMs },
            bomb.Payload))).ToArray();

        async Task LoopAsync()
        {
            while (Stopwatch.GetElapsedTime(began) < time)
            {
                (string Name, FunctionSpec Function, string Payload) bomb;
                lock (random)
                {
                    bomb = functions[random.Next(functions.Length)];
                }

                var outcome = await bench.Worker.InvokeAsync(bomb.Function, bomb.Payload);
                (outcome.Error?.Type.Owner() ?? FaultOwner.Function).ShouldBe(FaultOwner.Function, $"{bomb.Name}: {outcome.Describe()}");
                lock (ended)
                {
                    ended.Add($"{bomb.Name}: {outcome.Error?.Type.ToString() ?? "Completed"}");
                }
            }
        }

        var loops = Task.WhenAll(Enumerable.Range(0, AtOnce).Select(_ => LoopAsync()));
        while (!loops.IsCompleted)
        {
            await bench.NeighbourAnswersAsync().WaitAsync(NeighbourPatience);
            await Task.WhenAny(loops, Task.Delay(50));
        }

        await loops;
        return ended;
    }
}
