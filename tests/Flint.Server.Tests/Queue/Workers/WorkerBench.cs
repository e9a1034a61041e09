using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.Server.Queue.Workers;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Server.Tests.Queue.Workers;

/// <summary>A worker's parts around a fake store and a clock that stands still; nothing runs by itself.</summary>
internal sealed class WorkerBench : IDisposable
{
    public static readonly RetryRules NoRetries = new() { MaxAgeMs = 3_600_000, Jitter = false };
    private int _items;

    public WorkerBench(int places = 4, int startsPerSecond = 0)
    {
        Settings = new WorkerSettings("test", "worker", places, 1, startsPerSecond, TimeSpan.FromSeconds(15), TimeSpan.FromSeconds(5));
        Store = new FakeQueueStore(Time);
        Places = new WorkerPlaces(Settings, () => Host, Time);
        Lease = new WorkerLease(Store, Running, Places, () => "{}", Settings, Time, NullLogger<WorkerLease>.Instance);
        Completer = new JobCompleter(Store, Running, Time, NullLogger<JobCompleter>.Instance);
    }

    public ManualTimeProvider Time { get; } = new();
    public WorkerSettings Settings { get; }
    public FakeQueueStore Store { get; }
    public RunningItems Running { get; } = new();
    public WorkerPlaces Places { get; }
    public WorkerLease Lease { get; }
    public JobCompleter Completer { get; }
    public HostReading Host { get; set; }

    /// <summary>An item that the store will hand out.</summary>
    public ClaimedItem Item(QueuedWork? work = null, int attempt = 1) => new()
    {
        TenantId = "default",
        Id = $"00000000-0000-7000-8000-{++_items:d12}",
        LeaseNo = 7,
        Attempt = attempt,
        Losses = 0,
        Lane = Lanes.Jobs,
        Priority = 0,
        Mode = "job",
        Version = "1",
        CreatedAt = Time.GetUtcNow(),
        ClaimedAt = Time.GetUtcNow(),
        Expired = false,
        WorkJson = (work ?? Job()).ToJson(),
        Source = "function main() {}"u8.ToArray(),
    };

    public static QueuedWork Job(RetryRules? retry = null) => new()
    {
        Job = new JobWork
        {
            Runtime = "nodejs20",
            FileName = "main.js",
            Handler = "main.main",
            TimeoutMs = 30_000,
            MemoryMb = 512,
            TmpMb = 512,
            CpuMilli = 1000,
            Network = "none",
            Globals = "full",
            Engine = "native",
        },
        Retry = retry ?? NoRetries,
    };

    /// <summary>Registers the worker, or renews its lease.</summary>
    public async Task<WorkerTerm> LeaseAsync()
    {
        await Lease.RunOnceAsync(CancellationToken.None);
        return Lease.Term!;
    }

    /// <summary>Claims one item, as the producer does.</summary>
    public async Task<RunningItem> ClaimAsync(ClaimedItem? item = null)
    {
        Store.Add(item ?? Item());
        var term = Lease.Term ?? await LeaseAsync();
        var claim = await Store.ClaimAsync(new ClaimRequest(term.WorkerId, 1), CancellationToken.None);
        return new RunningItem(claim.Items.Single(), term);
    }

    public void Dispose()
    {
        Lease.Dispose();
        Completer.Dispose();
    }
}
