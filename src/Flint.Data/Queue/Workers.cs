namespace Flint.Data.Queue;

/// <summary>A worker as it registers, and as it tells of itself with each renewal.</summary>
public sealed record WorkerInfo
{
    /// <summary>Unique for each start and for each lease that was lost: a UUID version 7.</summary>
    public required string Id { get; init; }
    /// <summary>For people: host name and process id, or what is configured.</summary>
    public required string Name { get; init; }
    public required string ProductVersion { get; init; }
    /// <summary>Comma-separated: api, worker.</summary>
    public required string Roles { get; init; }
    /// <summary>Items that it runs at most.</summary>
    public int Places { get; init; }
    public int Running { get; init; }
    /// <summary>It takes no more work.</summary>
    public bool Draining { get; init; }
    /// <summary>JSON of its load and engines, for people; at most 16 KB.</summary>
    public string DetailsJson { get; init; } = "{}";
}

/// <param name="Info">As last told.</param>
/// <param name="LeaseLeft">By the database's clock; negative when it is over.</param>
/// <param name="DrainAsked">Somebody asked it to take no more work (<see cref="IQueueStore.AskDrainAsync"/>); <see cref="WorkerInfo.Draining"/> says whether it does so.</param>
public sealed record WorkerRow(WorkerInfo Info, DateTimeOffset StartedAt, DateTimeOffset SeenAt, TimeSpan LeaseLeft, bool DrainAsked);

/// <param name="Held">False: the lease was over, or somebody removed the worker; nothing that it runs may be completed.</param>
/// <param name="Items">
/// What is leased to it. What it runs and is not among them was cancelled; what is among them and it does not know came of a claim whose answer was lost, and is to be released.
/// </param>
/// <param name="DrainAsked">It is to take no more work.</param>
public sealed record Renewal(bool Held, IReadOnlyList<LeasedItem> Items, bool DrainAsked);

/// <summary>One item under a lease, by what every write about it names.</summary>
public readonly record struct LeasedItem(string TenantId, string Id, long LeaseNo);

/// <param name="Requeued">Items that will be tried again.</param>
/// <param name="Lost">Items that were lost for the last time and ended as SandboxLost.</param>
public sealed record RescueResult(IReadOnlyList<string> Requeued, IReadOnlyList<string> Lost);
