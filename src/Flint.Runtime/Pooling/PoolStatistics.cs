namespace Flint.Runtime.Pooling;

/// <summary>The pools at one moment, taken under their lock, so that the numbers fit together.</summary>
/// <param name="Live">Sandboxes from grant to proof of being gone: creating, busy, renewing, idle and closing.</param>
/// <param name="MemoryMb">What the live sandboxes count against the budget: their limits, and 8 MB for each idle one.</param>
/// <param name="Renewing">Snapshots whose next fork is being made.</param>
/// <param name="Frozen">Idle ones past the freeze grace.</param>
/// <param name="UnderPressure">The host's available memory is below the floor.</param>
public sealed record PoolStatistics(
    int Live, int Creating, int Busy, int Renewing, int Idle, int Frozen, int Closing, long MemoryMb, int Waiting, bool UnderPressure,
    int MaxSandboxes, long MemoryBudgetMb, PoolCounters Counters);

/// <summary>Counts since start.</summary>
public readonly record struct PoolCounters(long Created, long Reused, long Expired, long Evicted, long DiedIdle, long Throttled);
