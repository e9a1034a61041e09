using Flint.Data.Queue;
using Flint.Runtime.Loops;

namespace Flint.Server.Queue.Workers;

/// <summary>Removes lanes that nobody uses any more and idempotency keys that are over.</summary>
internal sealed class QueueTidier(IQueueStore store, TimeProvider time, ILogger<QueueTidier> log) : BackgroundLoop("queue-tidier", TimeSpan.FromMinutes(5), time, log)
{
    /// <summary>A lane with limits is named anew by each of its jobs, so that it is missed by nobody.</summary>
    private static readonly TimeSpan Unused = TimeSpan.FromHours(1);

    protected override bool WaitFirst => true;

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var (removed, page) = (0, 0);
        do
        {
            page = await store.TidyAsync(Unused, cancellationToken);
            removed += page;
        }
        while (page > 0);
        return new LoopRun(removed);
    }
}
