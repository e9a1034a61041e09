using Flint.Runtime.Hosting;

namespace Flint.Runtime.Pooling;

/// <summary>The pool's limits with the host-dependent defaults filled in.</summary>
internal sealed record PoolLimits(
    int MaxSandboxes, long MemoryBudgetMb, long MemoryFloorMb, TimeSpan IdleLifetime, TimeSpan FreezeAfter, int QueueLimit, TimeSpan QueueTimeout)
{
    public static PoolLimits From(SandboxOptions options, HostMemory host) => new(
        options.MaxSandboxes != 0 ? options.MaxSandboxes : (int)Math.Clamp(host.Total * 3 / 4 / 16, 16, 1000),
        options.MemoryBudgetMb != 0 ? options.MemoryBudgetMb : host.Total * 2,
        options.MemoryFloorMb >= 0 ? options.MemoryFloorMb : Math.Clamp(host.Total / 16, 128, 1024),
        TimeSpan.FromMilliseconds(options.IdleLifetimeMs),
        options.FreezeAfterMs < 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(options.FreezeAfterMs),
        options.QueueLimit,
        TimeSpan.FromMilliseconds(options.QueueTimeoutMs));
}
