using System.Collections.Concurrent;
using System.Collections.Immutable;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Flint.Engines.Native;
using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native;

/// <summary>Jobs from the dispatcher down to real interpreters.</summary>
public sealed class JobTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>, IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly SandboxJanitor _janitor = new(TimeProvider.System, NullLogger<SandboxJanitor>.Instance);
    private EngineRegistry _engines = null!;
    private SandboxPools _pools = null!;
    private Dispatcher _dispatcher = null!;
    private NativeEngine _engine = null!;

    public async ValueTask InitializeAsync()
    {
        var options = new SandboxOptions { MaxSandboxes = 16, MemoryBudgetMb = 100_000, MemoryFloorMb = 0, MaxColdStarts = 100 };
        // With cells made ahead: these get their quota at the hand-over.
        _engine = (NativeEngine)host.NewEngine();
        _engines = new EngineRegistry([_engine], _janitor, NullLogger<EngineRegistry>.Instance);
        _pools = new SandboxPools(PoolLimits.From(options, HostMemory.Read()), _janitor, TimeProvider.System, NullLogger<SandboxPools>.Instance);
        _dispatcher = new Dispatcher(_pools, _engines, options, new LimitOptions(), TimeProvider.System, NullLogger<Dispatcher>.Instance);
        if (host.Missing is null)
        {
            await _engines.StartAsync(CancellationToken.None);
            await NativeHostFixture.BootedAsync(_engine);
        }
    }

    public async ValueTask DisposeAsync()
    {
        _pools.Stop();
        using var patience = new CancellationTokenSource(Patience);
        (await _janitor.DrainAsync(patience.Token)).ShouldBe(0);
        await _engines.DisposeAsync();
        _janitor.Dispose();
        _dispatcher.Dispose();
    }

    [Theory]
    [InlineData("python", StartMode.Zygote)]
    [InlineData("python", StartMode.Exec)]
    [InlineData("nodejs", StartMode.Zygote)]
    [InlineData("nodejs", StartMode.Exec)]
    public async Task A_job_has_its_own_environment_and_a_home_that_it_can_write(string language, StartMode start)
    {
        var job = Job(language, language == "python"
            ? "import os\ndef main():\n    open(os.path.join(os.environ['HOME'], 'f'), 'w').close()\n    return dict(os.environ)"
            : "const fs = require('fs');\nfunction main() {\n  fs.writeFileSync(process.env.HOME + '/f', '');\n  return process.env;\n}") with
        {
            Start = start,
            Environment = ImmutableSortedDictionary.CreateRange(StringComparer.Ordinal, [KeyValuePair.Create("MINE", "1")]),
        };
        var request = Request(job);
        var outcome = await _dispatcher.DispatchAsync(request, default, default).WaitAsync(Patience);
        outcome.Status.ShouldBe(InvocationStatus.Completed, $"{outcome.Error}");
        outcome.Start.ShouldBe(start);
        var environment = JsonSerializer.Deserialize<Dictionary<string, string>>(outcome.Result.Span)!;
        environment["FLINT_JOB_ID"].ShouldBe(request.Id);
        (environment["HOME"], environment["TMPDIR"], environment["MINE"]).ShouldBe(("/tmp", "/tmp", "1"));
        environment["PATH"].ShouldContain("/usr/bin");
        environment.Keys.ShouldAllBe(static name => !name.StartsWith("AWS_", StringComparison.Ordinal) && name != "_HANDLER");
        outcome.Log.Lines.ShouldAllBe(static line => line.Stream == LogStream.Platform);
    }

    [Theory]
    [InlineData("python", "def main():\n    while True:\n        pass", StartMode.Zygote)]
    [InlineData("nodejs", "function main() {\n  for (;;);\n}", StartMode.Exec)]
    public async Task A_quota_holds_a_busy_loop_by_the_kernels_own_count(string language, string source, StartMode start)
    {
        var job = Job(language, source) with { Start = start, CpuQuotaMilli = 500, TimeoutMs = 600_000, MemoryMb = 1769, CancelOnDisconnect = true };
        using var caller = new CancellationTokenSource();
        var running = _dispatcher.DispatchAsync(Request(job), caller.Token, default);
        var instance = HostProcesses.Instance(_engine.LauncherPid);
        CpuCount before = default, after = default;
        await Eventually.True(() => (before = CpuCount.Of(instance)).Throttled > 0, "the kernel has stopped it once", boundSeconds: 60);
        await Eventually.True(() => (after = CpuCount.Of(instance)).Throttled >= before.Throttled + 10, "the kernel stops it again and again", boundSeconds: 60);
        running.IsCompleted.ShouldBeFalse();
        await caller.CancelAsync();
        (await running.WaitAsync(Patience)).Status.ShouldBe(InvocationStatus.Cancelled);

        // A period of 100 ms in which it was stopped is one in which it had all of its 50 ms; what is read in the midst of one is a period's worth either way.
        var used = after.Used - before.Used;
        used.ShouldBeInRange(TimeSpan.FromMilliseconds(50 * (after.Throttled - before.Throttled - 2)), TimeSpan.FromMilliseconds(50 * (after.Periods - before.Periods + 2) * 1.1));
    }

    [Theory]
    [InlineData("python", "def main():\n    print('so far')\n    while True:\n        pass")]
    [InlineData("nodejs", "async function main() {\n  console.log('so far');\n  for (;;);\n}")]
    public async Task Cancelling_kills_a_job_that_never_ends_and_keeps_its_log(string language, string source)
    {
        var heard = new ConcurrentQueue<LogLine>();
        using var caller = new CancellationTokenSource();
        var request = Request(Job(language, source) with { TimeoutMs = 600_000, CancelOnDisconnect = true }) with { OnLine = heard.Enqueue };
        var running = _dispatcher.DispatchAsync(request, caller.Token, default);
        await Eventually.True(() => heard.Any(static line => line.Text == "so far"), "it is heard while it runs", boundSeconds: 30);

        await caller.CancelAsync();
        var outcome = await running.WaitAsync(Patience);
        outcome.Status.ShouldBe(InvocationStatus.Cancelled);
        outcome.Error!.Type.ShouldBe(FaultType.Cancelled);
        outcome.Log.Lines.Select(static line => line.Text[..5]).ShouldBe(["START", "so fa", "END R", "REPOR"]);
        heard.ShouldBe(outcome.Log.Lines);
        using var patience = new CancellationTokenSource(Patience);
        (await _janitor.DrainAsync(patience.Token)).ShouldBe(0);
        _pools.Statistics().Live.ShouldBe(0);
    }

    [Theory]
    [InlineData("python", "async def main():\n    import asyncio\n    await asyncio.sleep(3600)")]
    [InlineData("nodejs", "const main = () => new Promise((done) => setTimeout(done, 3600000));")]
    public async Task A_main_that_never_returns_ends_at_its_timeout(string language, string source)
    {
        var outcome = await _dispatcher.DispatchAsync(Request(Job(language, source) with { TimeoutMs = 300 }), default, default).WaitAsync(Patience);
        outcome.Error!.Type.ShouldBe(FaultType.TimedOut);
    }

    [Theory]
    [InlineData("python")]
    [InlineData("nodejs")]
    public async Task Arguments_nested_beyond_all_bounds_are_the_jobs_own_error_or_a_result(string language)
    {
        var job = Job(language, language == "python" ? "def main(a):\n    return a" : "function main(a) {\n  return a;\n}") with { MemoryMb = 512, TimeoutMs = 30_000 };
        foreach (var depth in new[] { 100, 1_000, 100_000 })
        {
            var request = Request(job) with { Payload = Encoding.UTF8.GetBytes(new string('[', depth) + new string(']', depth)) };
            var outcome = await _dispatcher.DispatchAsync(request, default, default).WaitAsync(Patience);
            outcome.Status.ShouldBe(depth == 100 ? InvocationStatus.Completed : InvocationStatus.Failed, $"{depth}: {outcome.Error}");
            (outcome.Error?.Type is null or FaultType.InvalidResponse or FaultType.Unhandled).ShouldBeTrue($"{depth}: {outcome.Error}");
        }
    }

    [Fact]
    public async Task Limited_jobs_of_one_zygote_draw_other_random_numbers()
    {
        var job = Job("nodejs", "const main = () => Math.random();") with { Globals = GuestGlobals.Limited };
        var outcomes = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => _dispatcher.DispatchAsync(Request(job), default, default))).WaitAsync(Patience);
        outcomes.ShouldAllBe(static outcome => outcome.Start == StartMode.Zygote && outcome.Status == InvocationStatus.Completed);
        outcomes.Select(static outcome => Encoding.UTF8.GetString(outcome.Result.Span)).Distinct().Count().ShouldBe(8);
    }

    private FunctionSpec Job(string language, string source)
    {
        Assert.SkipWhen(host.Missing is not null, host.Missing ?? "");
        var code = host.Code((language == "python" ? "main.py" : "main.js", source));
        return new FunctionSpec
        {
            TenantId = "default",
            FunctionId = Path.GetFileName(code),
            Name = "job",
            Version = "$LATEST",
            Revision = "1",
            Runtime = host.Runtime(language),
            Handler = "main.main",
            CodeDirectory = code,
            Call = GuestCall.Main,
            Freshness = Freshness.Fresh,
        };
    }

    private static InvocationRequest Request(FunctionSpec job) => new() { Id = Guid.CreateVersion7().ToString(), Function = job, Payload = "[]"u8.ToArray() };

    /// <summary>What the kernel says of the one cell that has a quota of half a core: v1's files, or v2's.</summary>
    private readonly record struct CpuCount(long Periods, long Throttled, TimeSpan Used)
    {
        public static CpuCount Of(string instance)
        {
            var cells = HostProcesses.Cells(instance);
            var cell = cells.FirstOrDefault(static path => Line(path, "cpu.cfs_quota_us") == "50000" || Line(path, "cpu.max") == "50000 100000");
            if (cell is null)
            {
                return default;
            }

            var stat = File.ReadLines(Path.Combine(cell, "cpu.stat")).Select(static line => line.Split(' ')).ToDictionary(
                static parts => parts[0], static parts => long.Parse(parts[1], CultureInfo.InvariantCulture));
            // v1 may count time in a hierarchy of its own.
            var used = stat.TryGetValue("usage_usec", out var microseconds)
                ? TimeSpan.FromMicroseconds(microseconds)
                : TimeSpan.FromMicroseconds(cells.Where(path => Path.GetFileName(path) == Path.GetFileName(cell)).Select(static path => Line(path, "cpuacct.usage"))
                    .First(static line => line is not null) is { } nanoseconds ? long.Parse(nanoseconds, CultureInfo.InvariantCulture) / 1000 : 0);
            return new CpuCount(stat["nr_periods"], stat["nr_throttled"], used);
        }

        private static string? Line(string cell, string file) =>
            Path.Combine(cell, file) is var path && File.Exists(path) ? File.ReadLines(path).FirstOrDefault() : null;
    }
}
