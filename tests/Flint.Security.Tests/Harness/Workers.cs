using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

[assembly: AssemblyFixture(typeof(Workers))]
// Sandboxes are counted and the process's memory is measured: one test at a time.
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Flint.Security.Tests.Harness;

/// <summary>
/// The workers of the whole run: one with the product's launcher, and one for each set of walls that was taken away. Started when first asked
/// for; each has one warm neighbour, a function of another tenant, that must live through everything.
/// </summary>
public sealed class Workers : IAsyncLifetime
{
    private readonly SemaphoreSlim _lock = new(1, 1);
    private readonly Dictionary<string, Bench> _benches = new(StringComparer.Ordinal);
    private CodeFolder? _code;

    public ValueTask InitializeAsync()
    {
        Environment.SetEnvironmentVariable("FLINT_TEST_SECRET", ReadAttacks.HostSecret);
        return ValueTask.CompletedTask;
    }

    internal CodeFolder Code => _code ??= NewCode();

    internal Task<Bench> ProductAsync() => GetAsync("");

    internal Task<Bench> WithoutAsync(string walls)
    {
        Requirements.Walls();
        return GetAsync(walls);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var bench in _benches.Values)
        {
            await bench.Worker.DisposeAsync();
        }

        _code?.Dispose();
        _lock.Dispose();
    }

    private async Task<Bench> GetAsync(string walls)
    {
        Requirements.Root();
        HostServices.AreOpen.ShouldBeTrue();
        await _lock.WaitAsync();
        try
        {
            if (!_benches.TryGetValue(walls, out var bench))
            {
                var worker = await TestWorker.StartAsync(Code, _benches.Count, walls.Length == 0 ? null : walls, CancellationToken.None);
                // With the wall "net" gone no fork of a zygote can enter its cell (AttackCatalog.RowsWithWall).
                _benches[walls] = bench = new Bench(worker, forks: walls != "net");
            }

            Requirements.Require(bench.Worker.Unavailable is null, bench.Worker.Unavailable ?? "");
            await bench.SettleAsync();
            return bench;
        }
        finally
        {
            _lock.Release();
        }
    }

    private static CodeFolder NewCode()
    {
        var code = new CodeFolder();
        code.MakeWritable("python");
        code.MakeWritable("node");
        return code;
    }
}

/// <summary>A worker and its neighbour: a warm function that counts its invocations, whose memory must survive whatever others do.</summary>
internal sealed class Bench(TestWorker worker, bool forks = true)
{
    private FunctionSpec? _neighbour;
    private int _count;

    /// <summary>Processes of this worker's sandboxes when the test began: the neighbour's, and those of warm functions of tests before.</summary>
    private IReadOnlyList<string> _baseline = [];

    public TestWorker Worker { get; } = worker;

    public async Task SettleAsync()
    {
        if (_neighbour is null)
        {
            _neighbour = Worker.Function(Runtime(Languages.Python), "neighbour.handler", "python") with { Freshness = Freshness.Warm };
            await NeighbourAnswersAsync();
            await ZygotesRunAsync();
        }

        _baseline = Worker.Leftovers.Processes();
        _baseline.ShouldContain(static process => process.Contains("python", StringComparison.Ordinal), "the neighbour's process must be seen, or nothing would ever be found");
    }

    /// <summary>Until its zygotes are up a worker starts functions by exec, which would be another mode than the one that a test is about.</summary>
    private async Task ZygotesRunAsync()
    {
        if (!forks || !Modes.Built.Contains(Mode.Zygote))
        {
            return;
        }

        var began = TimeProvider.System.GetTimestamp();
        foreach (var language in (Languages[])[Languages.Python, Languages.Node])
        {
            var function = Function("exits.end", language).In(Mode.Zygote);
            var outcome = await Worker.InvokeAsync(function, """{"how":"return"}""");
            while (outcome.Start != StartMode.Zygote && TimeProvider.System.GetElapsedTime(began) < TimeSpan.FromSeconds(60))
            {
                await Task.Delay(50);
                outcome = await Worker.InvokeAsync(function, """{"how":"return"}""");
            }

            outcome.ShouldHaveRunIn(Mode.Zygote);
        }
    }

    /// <summary>The neighbour's very process is still there and answers.</summary>
    public async Task NeighbourAnswersAsync()
    {
        var outcome = await Worker.InvokeAsync(_neighbour!, "{}");
        outcome.ShouldHaveCompleted();
        outcome.Json().GetProperty("count").GetInt32().ShouldBe(++_count, "the neighbour's sandbox was replaced");
    }

    public string Runtime(Languages language)
    {
        var prefix = language == Languages.Python ? "python" : "nodejs";
        var runtime = Worker.Runtimes.LastOrDefault(name => name.StartsWith(prefix, StringComparison.Ordinal));
        Requirements.Require(runtime is not null, $"no interpreter for {prefix} in /usr/bin or /usr/local/bin");
        return runtime!;
    }

    public FunctionSpec Function(Attack attack, Languages language) => Function(attack.Handler, language) with
    {
        MemoryMb = attack.MemoryMb,
        TmpMb = attack.TmpMb,
        TimeoutMs = attack.TimeoutMs,
    };

    public FunctionSpec Function(string handler, Languages language) => language == Languages.Python
        ? Worker.Function(Runtime(language), handler, "python")
        : Worker.Function(Runtime(language), CamelCase(handler), "node");

    /// <summary>
    /// No process, no cgroup, no mount of the function is left, and the neighbour is unharmed. Of a snapshot first its invocation is to be gone, all but the template, the
    /// trusted process of its cell, and the fork that waits for the next event; then the template is given up too.
    /// </summary>
    public async Task NothingIsLeftAsync(FunctionSpec function)
    {
        if (function.Freshness == Freshness.Snapshot)
        {
            await Eventually.True(() => Worker.Leftovers.Processes().Except(_baseline).Count() <= 3, "nothing but the template, its cell's first process, and the fork for the next event are left", boundSeconds: 10,
                () => string.Join(", ", Worker.Leftovers.Processes().Except(_baseline)));
            Worker.Retire(function);
        }

        await Eventually.True(() => !Worker.Leftovers.Processes().Except(_baseline).Any(), "no process left", boundSeconds: 30,
            () => string.Join(", ", Worker.Leftovers.Processes().Except(_baseline)));
        await Eventually.True(() => Worker.Leftovers.Cgroups(function.TenantId).Count == 0, "no cgroup left", boundSeconds: 30,
            () => string.Join(", ", Worker.Leftovers.Cgroups(function.TenantId)));
        Leftovers.Mounts(function.CodeDirectory).ShouldBeEmpty();
        await NeighbourAnswersAsync();
    }

    private static string CamelCase(string handler)
    {
        var parts = handler.Split('.');
        var words = parts[1].Split('_');
        return $"{parts[0]}.{words[0]}{string.Concat(words[1..].Select(static word => char.ToUpperInvariant(word[0]) + word[1..]))}";
    }
}
