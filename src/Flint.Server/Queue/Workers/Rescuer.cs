using Flint.Data.Queue;
using Flint.Runtime.Loops;

namespace Flint.Server.Queue.Workers;

/// <summary>Takes items from workers whose lease is over, this one's own earlier terms included. Runs on every worker; the store sees to it that each item is taken once.</summary>
internal sealed partial class Rescuer : BackgroundLoop
{
    /// <summary>What a dead worker ran waits for its lease, and this.</summary>
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(2);

    private readonly IQueueStore _store;
    private readonly QueueNotices _notices;
    private readonly ILogger _log;

    public Rescuer(IQueueStore store, QueueNotices notices, TimeProvider time, ILogger<Rescuer> log)
        : base("rescuer", Every, time, log)
    {
        _store = store;
        _notices = notices;
        _log = log;
    }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken) => new(await RescueAsync(all: false, cancellationToken));

    /// <summary>Where this server is the only one, whatever is leased when it starts is leased to processes that are no more. Called before anything is claimed.</summary>
    public Task<int> VoidEarlierLeasesAsync(CancellationToken cancellationToken) => RescueAsync(all: true, cancellationToken);

    private async Task<int> RescueAsync(bool all, CancellationToken cancellationToken)
    {
        // Whoever claims what was lost too often ends it (JobExecutor): so that its destinations are not lost with it.
        var rescued = await _store.RescueAsync(int.MaxValue, all, null, cancellationToken);
        if (rescued.Requeued.Count > 0)
        {
            LogRequeued(_log, rescued.Requeued.Count);
            _notices.Enqueued();
        }

        if (rescued.Lost.Count > 0)
        {
            LogLost(_log, rescued.Lost.Count);
            _notices.Finished(rescued.Lost);
        }

        return rescued.Requeued.Count + rescued.Lost.Count;
    }

    [LoggerMessage(2631, LogLevel.Warning, "{Count} runs of workers that are gone are tried again")]
    private static partial void LogRequeued(ILogger logger, int count);

    [LoggerMessage(2632, LogLevel.Warning, "{Count} invocations were lost with their workers for the last time and failed")]
    private static partial void LogLost(ILogger logger, int count);
}
