using Flint.Data.Queue;
using Flint.Runtime.Loops;

namespace Flint.Server.Queue.Workers;

/// <summary>Ends what waited longer than its time to live, page by page. What is claimed in between ends in the worker's hands.</summary>
internal sealed partial class Expirer : BackgroundLoop
{
    private const int PageSize = 500;

    private static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    private readonly IQueueStore _store;
    private readonly QueueNotices _notices;
    private readonly ILogger _log;

    public Expirer(IQueueStore store, QueueNotices notices, TimeProvider time, ILogger<Expirer> log)
        : base("expirer", Every, time, log)
    {
        _store = store;
        _notices = notices;
        _log = log;
    }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var expired = 0;
        IReadOnlyList<string> page;
        do
        {
            page = await _store.ExpireAsync(PageSize, cancellationToken);
            if (page.Count > 0)
            {
                _notices.Finished(page);
                expired += page.Count;
            }
        }
        while (page.Count == PageSize);

        if (expired > 0)
        {
            LogExpired(_log, expired);
        }

        return new LoopRun(expired);
    }

    [LoggerMessage(2633, LogLevel.Information, "{Count} queued invocations expired before they began")]
    private static partial void LogExpired(ILogger logger, int count);
}
