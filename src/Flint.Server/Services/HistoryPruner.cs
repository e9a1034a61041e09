using Flint.Data.Invocations;
using Flint.Runtime.Loops;

namespace Flint.Server.Services;

/// <summary>Removes the records that retention no longer keeps, page by page, so that no delete holds the writer for long.</summary>
internal sealed partial class HistoryPruner(IInvocationStore store, HistoryOptions options, TimeProvider time, ILogger<HistoryPruner> log)
    : BackgroundLoop("history-pruner", TimeSpan.FromMilliseconds(options.PruneEveryMs), time, log)
{
    private const int PageSize = 500;

    private readonly ILogger _log = log;

    protected override bool WaitFirst => true;

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var retention = new Retention(
            options.MaxAgeDays == 0 ? null : TimeSpan.FromDays(options.MaxAgeDays), options.MaxCount == 0 ? null : options.MaxCount);
        if (retention is { MaxAge: null, MaxCount: null })
        {
            return new LoopRun(0);
        }

        var removed = 0;
        int page;
        do
        {
            page = await store.PruneAsync(retention, Time.GetUtcNow(), PageSize, cancellationToken);
            removed += page;
        }
        while (page == PageSize);

        if (removed > 0)
        {
            LogPruned(_log, removed);
        }

        return new LoopRun(removed);
    }

    [LoggerMessage(2401, LogLevel.Information, "Removed {Count} invocations from history")]
    private static partial void LogPruned(ILogger logger, int count);
}
