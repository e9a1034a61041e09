using Flint.Runtime.Hosting;

namespace Flint.Runtime.Pooling;

/// <summary>The pool's limits with the host-dependent defaults filled in.</summary>
internal sealed record PoolLimits(
    int MaxSandboxes, long MemoryBudgetMb, long MemoryFloorMb, TimeSpan IdleLifetime, TimeSpan FreezeAfter, int QueueLimit, TimeSpan QueueTimeout,
    int MaxColdStarts)
{
    /// <summary>
    /// What an idle sandbox counts against the memory budget, in MB: what a forked guest may have of its own (the promise is 3 MB for Python and 5 MB for
    /// Node) and the kernel's part (page tables, sockets, namespaces) with it. Those that hold more are found by the memory floor.
    /// </summary>
    public const int IdleChargeMb = 8;

    /// <summary>The promise for an idle Node sandbox: what three quarters of the host's memory are divided by.</summary>
    private const int IdleSandboxMb = 5;

    /// <summary>Each has a few processes and about ten descriptors: 4000 stay within the usual 32768 pids and 65536 descriptors of a host.</summary>
    private const int MostSandboxes = 4000;

    /// <summary>One function version's part of <see cref="MaxColdStarts"/>, so that one whose init is slow does not keep all others from starting.</summary>
    public int ColdStartsPerFunction => Math.Max(1, MaxColdStarts / 2);

    public static PoolLimits From(SandboxOptions options, HostMemory host) => new(
        options.MaxSandboxes != 0 ? options.MaxSandboxes : (int)Math.Clamp(host.Total * 3 / 4 / IdleSandboxMb, 16, MostSandboxes),
        options.MemoryBudgetMb != 0 ? options.MemoryBudgetMb : host.Total * 2,
        options.MemoryFloorMb >= 0 ? options.MemoryFloorMb : Math.Clamp(host.Total / 16, 128, 1024),
        TimeSpan.FromMilliseconds(options.IdleLifetimeMs),
        options.FreezeAfterMs < 0 ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(options.FreezeAfterMs),
        options.QueueLimit,
        TimeSpan.FromMilliseconds(options.QueueTimeoutMs),
        options.MaxColdStarts != 0 ? options.MaxColdStarts : Math.Max(16, 8 * Environment.ProcessorCount));
}
