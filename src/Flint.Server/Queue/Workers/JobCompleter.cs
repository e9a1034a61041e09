using Flint.Data;
using Flint.Data.Queue;
using Flint.Runtime.Loops;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Writes settlements, those that come together in one transaction: the first goes at once, and what comes while it is being written goes together afterwards. While the database fails they are
/// tried again for as long as their lease lives; then they are dropped, since they would be fenced off.
/// </summary>
internal sealed partial class JobCompleter : BackgroundLoop
{
    /// <summary>Keeps one transaction short, so that claims and enqueues are not held up.</summary>
    private const int MostTogether = 256;

    private const long MostBytesTogether = 8 << 20;

    private readonly IQueueStore _store;
    private readonly RunningItems _running;
    private readonly ILogger _log;
    private readonly Lock _lock = new();
    /// <summary>Under the lock.</summary>
    private readonly LinkedList<Waiting> _waiting = new();

    public JobCompleter(IQueueStore store, RunningItems running, TimeProvider time, ILogger<JobCompleter> log)
        : base("job-completer", Timeout.InfiniteTimeSpan, time, log)
    {
        _store = store;
        _running = running;
        _log = log;
    }

    /// <summary>Items are written: what they held (a lane's limit) is free, and those in the list are finished. Set once; must be short.</summary>
    public Action<IReadOnlyList<LeasedItem>>? Settled { get; set; }

    public void Add(RunningItem item, Settlement settlement)
    {
        lock (_lock)
        {
            _waiting.AddLast(new Waiting(item, settlement));
        }

        Wake();
    }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var written = 0;
        while (Take() is { Count: > 0 } batch)
        {
            try
            {
                await WriteAsync(batch, cancellationToken);
            }
            catch (Exception exception) when (exception is DatabaseException or OperationCanceledException)
            {
                // Unknown whether it was committed, and safe to repeat: what is settled is not leased any more.
                PutBack(batch);
                throw;
            }

            written += batch.Count;
        }

        return new LoopRun(written);
    }

    private async Task WriteAsync(List<Waiting> batch, CancellationToken cancellationToken)
    {
        try
        {
            Done(batch, await _store.SettleAsync(batch.ConvertAll(static waiting => waiting.Settlement), cancellationToken));
        }
        catch (Exception exception) when (exception is not (DatabaseException or OperationCanceledException))
        {
            // One of them cannot be stored; the others must not suffer for it.
            foreach (var waiting in batch)
            {
                await WriteAloneAsync(waiting, cancellationToken);
            }
        }
    }

    private async Task WriteAloneAsync(Waiting waiting, CancellationToken cancellationToken)
    {
        for (var settlement = waiting.Settlement; ; settlement = Plain(waiting))
        {
            try
            {
                Done([waiting], await _store.SettleAsync([settlement], cancellationToken));
                return;
            }
            catch (Exception exception) when (exception is not (DatabaseException or OperationCanceledException))
            {
                LogUnstorable(_log, exception, waiting.Item.Item.Id);
                if (settlement != waiting.Settlement)
                {
                    // Not even so. Its lease runs out with the worker's, which is the only end that is left for it.
                    _running.Forget(waiting.Item);
                    return;
                }
            }
        }
    }

    /// <summary>The same end without all that the run or the user wrote.</summary>
    private static Settlement Plain(Waiting waiting) => waiting.Settlement is Settlement.Finished finished
        ? finished with
        {
            Row = finished.Row with
            {
                Status = "FAILED",
                ErrorType = nameof(Runtime.Invocation.FaultType.SandboxLost),
                ErrorJson = """{"type":"SandboxLost","name":"SandboxLost","message":"What the invocation gave could not be stored; the server's log has the details.","stackTrace":[]}""",
                Result = null,
                Log = null,
                StartReason = null,
            },
            AttemptsJson = null,
            Then = [],
        }
        : new Settlement.Release(waiting.Settlement.TenantId, waiting.Settlement.Id, waiting.Settlement.LeaseNo);

    private void Done(List<Waiting> batch, IReadOnlyList<bool> held)
    {
        var finished = new List<LeasedItem>();
        var fenced = 0;
        for (var n = 0; n < batch.Count; n++)
        {
            var item = batch[n].Item;
            if (!held[n])
            {
                fenced++;
            }
            else if (batch[n].Settlement is Settlement.Finished)
            {
                finished.Add(item.Lease);
            }

            _running.Forget(item);
        }

        if (fenced > 0)
        {
            LogFenced(_log, fenced);
        }

        Settled?.Invoke(finished);
    }

    private List<Waiting> Take()
    {
        var (batch, dropped, bytes) = (new List<Waiting>(), new List<Waiting>(), 0L);
        lock (_lock)
        {
            while (_waiting.First is { } first && batch.Count < MostTogether && bytes < MostBytesTogether)
            {
                _waiting.RemoveFirst();
                (first.Value.Item.IsForfeited ? dropped : batch).Add(first.Value);
                bytes += Size(first.Value.Settlement);
            }
        }

        foreach (var waiting in dropped)
        {
            _running.Forget(waiting.Item);
        }

        if (dropped.Count > 0)
        {
            LogDropped(_log, dropped.Count);
        }

        // Only dropped ones: there may be more behind them.
        return batch.Count == 0 && dropped.Count > 0 ? Take() : batch;
    }

    private void PutBack(List<Waiting> batch)
    {
        lock (_lock)
        {
            for (var n = batch.Count - 1; n >= 0; n--)
            {
                _waiting.AddFirst(batch[n]);
            }
        }
    }

    private static long Size(Settlement settlement) => settlement is Settlement.Finished { Row: { } row } ? (row.Result?.Length ?? 0) + (row.Log?.Length ?? 0) : 0;

    private sealed record Waiting(RunningItem Item, Settlement Settlement);

    [LoggerMessage(2621, LogLevel.Information, "{Count} results came too late and were dropped: their items were cancelled or are leased to others")]
    private static partial void LogFenced(ILogger logger, int count);

    [LoggerMessage(2622, LogLevel.Warning, "{Count} results could not be written while the lease lasted and were dropped")]
    private static partial void LogDropped(ILogger logger, int count);

    [LoggerMessage(2623, LogLevel.Error, "The end of invocation {InvocationId} cannot be stored")]
    private static partial void LogUnstorable(ILogger logger, Exception exception, string invocationId);
}
