using System.Diagnostics;
using System.Globalization;
using System.Text;
using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Data.Tests;

/// <summary>What an item costs in the queue: 20 clients that enqueue one by one, a worker that claims 50 and settles 50; apart, and together.</summary>
internal static class QueueMeasurement
{
    private const string Work =
        """{"job":{"runtime":"nodejs20","fileName":"main.js","handler":"main.main","timeoutMs":30000,"memoryMb":512,"tmpMb":512,"cpuMilli":1000,"network":"none","globals":"full","engine":"native","priority":0},"retry":{"retries":0,"maxAgeMs":21600000,"backoff":"exponential","delayMs":1000,"maxDelayMs":300000,"jitter":true}}""";

    private static readonly byte[] Source = Encoding.UTF8.GetBytes("exports.main = (a, b) => a + b;" + new string(' ', 150));
    private static readonly WorkerInfo Worker = new() { Id = "w", Name = "w", ProductVersion = "0", Roles = "worker" };

    public static async Task RunAsync(TestStore store, int seconds)
    {
        await store.Queue.RegisterAsync(Worker, TimeSpan.FromHours(1), default);
        for (var round = 0; round < 2; round++)
        {
            using var enqueueing = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
            await MeasureAsync("enqueue, 20 clients", () => EnqueueAllAsync(store, enqueueing.Token));
            await MeasureAsync("claim 50, settle 50", () => DrainAsync(store, default));
            using var both = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
            await MeasureAsync("both at once", async () =>
            {
                var draining = DrainAsync(store, both.Token);
                await EnqueueAllAsync(store, both.Token);
                return await draining;
            });
        }
    }

    private static async Task MeasureAsync(string name, Func<Task<int>> work)
    {
        using var process = Process.GetCurrentProcess();
        var cpu = process.TotalProcessorTime;
        var writer = WriterTime();
        var clock = Stopwatch.StartNew();
        var items = await work();
        var elapsed = clock.Elapsed;
        process.Refresh();
        Console.WriteLine(
            $"{name}: {items / elapsed.TotalSeconds:F0} items/s, per item {(WriterTime() - writer) / items:F1} us of the writer thread, "
            + $"{(process.TotalProcessorTime - cpu).TotalMicroseconds / items:F1} us of CPU in all");
    }

    private static async Task<int> EnqueueAllAsync(TestStore store, CancellationToken stopping)
    {
        var counts = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            for (; !stopping.IsCancellationRequested; count++)
            {
                await store.Queue.EnqueueAsync([Entry()], default);
            }

            return count;
        })));
        return counts.Sum();
    }

    /// <summary>Until nothing waits and nothing more is to come.</summary>
    private static async Task<int> DrainAsync(TestStore store, CancellationToken coming)
    {
        for (var count = 0; ;)
        {
            var claim = await store.Queue.ClaimAsync(new("w", 50), default);
            if (claim.Items.Count == 0 && (!coming.CanBeCanceled || coming.IsCancellationRequested))
            {
                return count;
            }

            var now = TimeProvider.System.GetUtcNow();
            var done = claim.Items.Select(item => (Settlement)new Settlement.Finished(item.LeaseNo, Done(item, now), null)).ToList();
            if ((await store.Queue.SettleAsync(done, default)).Any(held => !held))
            {
                throw new InvalidOperationException("A lease was lost.");
            }

            count += done.Count;
        }
    }

    private static QueueEntry Entry() => new()
    {
        Row = new InvocationRow
        {
            TenantId = "default",
            Id = Guid.CreateVersion7().ToString("D"),
            FunctionId = "",
            FunctionName = "",
            Version = "",
            Mode = "job",
            Status = "PENDING",
            CreatedAt = TimeProvider.System.GetUtcNow(),
            MemoryMb = 512,
            Payload = "[1,2]"u8.ToArray(),
        },
        WorkJson = Work,
        Source = Source,
        Lane = "jobs",
    };

    private static InvocationRow Done(ClaimedItem item, DateTimeOffset now) => new()
    {
        TenantId = item.TenantId,
        Id = item.Id,
        FunctionId = "",
        FunctionName = "",
        Version = "",
        Mode = item.Mode,
        Status = "COMPLETED",
        CreatedAt = item.CreatedAt,
        StartedAt = item.ClaimedAt,
        CompletedAt = now,
        DurationMs = 1.5,
        BilledMs = 2,
        MemoryMb = 512,
        PeakMemoryBytes = 1000,
        ColdStart = true,
        Engine = "native",
        StartMode = "zygote",
        SandboxId = "s-1",
        Result = "3"u8.ToArray(),
    };

    /// <summary>In microseconds.</summary>
    private static double WriterTime() => Directory.GetDirectories("/proc/self/task")
        .Where(task => File.ReadAllText(task + "/comm").StartsWith("flint-sqlite-wr", StringComparison.Ordinal))
        .Sum(task => long.Parse(File.ReadAllText(task + "/schedstat").Split(' ')[0], CultureInfo.InvariantCulture)) / 1000.0;
}
