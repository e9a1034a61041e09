using Flint.Data.Invocations;
using Flint.Runtime.Loops;

namespace Flint.Server.Services;

/// <summary>Removes the records that retention no longer keeps, page by page, so that no delete holds the writer for long.</summary>
internal sealed partial class HistoryPruner : BackgroundLoop
{
    private const int PageSize = 500;

    private readonly IInvocationStore _store;
    private readonly InvocationJournal _journal;
    private readonly Retention _retention;
    private readonly ILogger _log;

    public HistoryPruner(IInvocationStore store, InvocationJournal journal, HistoryOptions options, TimeProvider time, ILogger<HistoryPruner> log)
        : base("history-pruner", TimeSpan.FromMilliseconds(options.PruneEveryMs), time, log)
    {
        _store = store;
        _journal = journal;
        _log = log;
        _retention = new Retention(
            options.MaxAgeDays == 0 ? null : TimeSpan.FromDays(options.MaxAgeDays),
            options.MaxCount == 0 ? null : options.MaxCount,
            options.MaxMegabytes == 0 ? null : (long)options.MaxMegabytes << 20);
        if (_retention.MaxBytes is { } most)
        {
            journal.OnWritten(most / 10, Wake);
        }
    }

    protected override bool WaitFirst => true;

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        if (_retention is { MaxAge: null, MaxCount: null, MaxBytes: null })
        {
            return new LoopRun(0);
        }

        var removed = 0;
        int page;
        do
        {
            page = await _store.PruneAsync(_retention, Time.GetUtcNow(), PageSize, cancellationToken);
            removed += page;
        }
        while (page == PageSize);

        if (removed > 0)
        {
            LogPruned(_log, removed);
        }

        return new LoopRun(removed);
    }

    protected override void Dispose(bool disposing)
    {
        _journal.OnWritten(0, null);
        base.Dispose(disposing);
    }

    [LoggerMessage(2401, LogLevel.Information, "Removed {Count} invocations from history")]
    private static partial void LogPruned(ILogger logger, int count);
}
