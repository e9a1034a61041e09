using System.Collections.Immutable;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Queue.Workers;

/// <summary>What the dispatcher runs for a job.</summary>
internal static class JobSpec
{
    private static readonly ImmutableSortedDictionary<string, string> NoEnvironment = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    /// <summary>Of the job's own id: equal jobs do not share the bounds that keep one function's crowd from the others.</summary>
    public static FunctionSpec Of(ClaimedItem item, JobWork job, JobCodeLease code) => new()
    {
        TenantId = item.TenantId,
        FunctionId = item.Id,
        Name = "job",
        Version = "1",
        Revision = code.Hash,
        Runtime = job.Runtime,
        Handler = job.Handler,
        CodeDirectory = code.Directory,
        MemoryMb = job.MemoryMb,
        TimeoutMs = job.TimeoutMs,
        TmpMb = job.TmpMb,
        Environment = job.Environment?.ToImmutableSortedDictionary(StringComparer.Ordinal) ?? NoEnvironment,
        Freshness = Freshness.Fresh,
        Network = job.Network == "egress" ? NetworkAccess.Egress : NetworkAccess.None,
        Engine = job.Engine,
        Call = GuestCall.Main,
        Globals = job.Globals == "limited" ? GuestGlobals.Limited : GuestGlobals.Full,
        CpuQuotaMilli = job.CpuMilli,
    };
}
