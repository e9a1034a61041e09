namespace Flint.Runtime.Pooling;

/// <summary>The pools at one moment, taken under their lock, so that the numbers fit together.</summary>
/// <param name="Live">Sandboxes from grant to proof of being gone: creating, busy, idle and closing.</param>
/// <param name="MemoryMb">Sum of the live sandboxes' memory limits.</param>
/// <param name="Frozen">Idle ones past the freeze grace.</param>
/// <param name="UnderPressure">The host's available memory is below the floor.</param>
public sealed record PoolStatistics(
    int Live, int Creating, int Busy, int Idle, int Frozen, int Closing, long MemoryMb, int Waiting, bool UnderPressure,
    int MaxSandboxes, long MemoryBudgetMb, PoolCounters Counters);

/// <summary>Counts since start.</summary>
public readonly record struct PoolCounters(long Created, long Reused, long Expired, long Evicted, long DiedIdle, long Throttled);
