namespace Flint.Server.Queue.Workers;

/// <summary>A worker's options with what depends on the host and the database filled in. Immutable.</summary>
/// <param name="Name">For people.</param>
/// <param name="Roles">Comma-separated.</param>
/// <param name="Places">Items that run at a time, without pressure.</param>
/// <param name="LeastPlaces">What pressure of CPU leaves: enough that the cores are busy.</param>
/// <param name="StartsPerSecond">0: any number.</param>
/// <param name="Lease">Asked for with each renewal.</param>
/// <param name="Poll">Between two looks at the queue that nothing else causes.</param>
internal sealed record WorkerSettings(string Name, string Roles, int Places, int LeastPlaces, int StartsPerSecond, TimeSpan Lease, TimeSpan Poll)
{
    private const int MemoryPerPlaceMb = 128;

    public TimeSpan RenewEvery => Lease / 3;

    /// <summary>After a renewal that failed: several tries before <see cref="Held"/> is over.</summary>
    public TimeSpan RetryAfter => Lease / 15;

    /// <summary>How long what runs may run on after a renewal was sent. What is left of the lease is for killing it.</summary>
    public TimeSpan Held => Lease * 4 / 5;

    public static WorkerSettings From(WorkerOptions options, string roles, int cores, long memoryMb, bool shared) => new(
        options.Name.Length > 0 ? options.Name : $"{Environment.MachineName}:{Environment.ProcessId}",
        roles,
        options.Concurrency != 0 ? options.Concurrency : (int)Math.Max(2, Math.Min(4L * cores, memoryMb / MemoryPerPlaceMb)),
        2 * cores,
        options.StartsPerSecond,
        TimeSpan.FromMilliseconds(options.LeaseMs),
        TimeSpan.FromMilliseconds(options.PollMs != 0 ? options.PollMs : shared ? 1000 : 5000));
}
