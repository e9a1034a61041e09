using System.Text.Json;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Takes one claimed item through its attempt to its settlement:
/// <code>
/// 1 read      the stored work; expired or unreadable ends here
/// 2 run       in a sandbox, through the same dispatcher as every invocation
/// 3 decide    finished, tried again, put off, or released because the worker stops; nothing when the item is this worker's no more
/// 4 hand on   the place is free; the completer writes the settlement
/// </code>
/// Thread-safe.
/// </summary>
internal sealed partial class JobExecutor : IDisposable
{
    private static readonly TimeSpan AfterDefect = TimeSpan.FromMinutes(1);

    private readonly RunningItems _running;
    private readonly JobRunner _runner;
    private readonly JobCompleter _completer;
    private readonly InvocationRows _rows;
    private readonly FollowUp _followUp;
    private readonly WorkerSettings _settings;
    private readonly Random _random;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stopping = new();

    public JobExecutor(
        RunningItems running, JobRunner runner, JobCompleter completer, InvocationRows rows, FollowUp followUp, WorkerSettings settings, Random random, TimeProvider time,
        ILogger<JobExecutor> log)
    {
        _running = running;
        _runner = runner;
        _completer = completer;
        _rows = rows;
        _followUp = followUp;
        _settings = settings;
        _random = random;
        _time = time;
        _log = log;
    }

    /// <summary>Begins the item on another thread. <see cref="RunningItems"/> tells when it is done.</summary>
    public void Begin(RunningItem item)
    {
        _running.Add(item);
        using (ExecutionContext.SuppressFlow())
        {
            _ = Task.Run(() => RunAsync(item), CancellationToken.None);
        }
    }

    /// <summary>What has no sandbox yet goes back; what runs may finish.</summary>
    public Task StopAsync() => _stopping.CancelAsync();

    public void Dispose() => _stopping.Dispose();

    private async Task RunAsync(RunningItem running)
    {
        Settlement? settlement = null;
        try
        {
            settlement = await AttemptAsync(running);
        }
        catch (Exception exception)
        {
            // A defect of Flint's own, which may be the item's doing: like a loss, the third time is the last.
            LogDefect(_log, exception, running.Item.Id);
            settlement = Defect(running.Item);
        }

        // 4 hand on. The completer knows it before its place is free, so that whoever waits for idleness finds it there.
        if (settlement is not null)
        {
            _completer.Add(running, settlement);
            _running.Ended(running);
        }
        else
        {
            _running.Ended(running);
            _running.Forget(running);
        }
    }

    private async Task<Settlement?> AttemptAsync(RunningItem running)
    {
        var (item, began) = (running.Item, _time.GetTimestamp());
        if (_stopping.IsCancellationRequested)
        {
            return new Settlement.Release(item.TenantId, item.Id, item.LeaseNo);
        }

        // 1 read
        if (Read(item) is not { } work)
        {
            return await FinishAsync(running, null, _runner.Failed(FaultType.InvalidPayload, "How it was queued cannot be read."), AttemptNotes.Of(item));
        }

        // 2 run
        var attempt = item.Expired
            ? _runner.Failed(FaultType.Expired, "It had not begun when its time to live was over.")
            : item.Losses >= RetryPolicy.MaxLosses
            ? _runner.Failed(FaultType.SandboxLost, $"It was lost with its worker {item.Losses} times, and is not begun again.")
            : await _runner.RunAsync(running, work, _stopping.Token);

        // 3 decide
        return running.IsForfeited ? null : await DecideAsync(running, work, attempt, item.ClaimedAt - item.CreatedAt + _time.GetElapsedTime(began));
    }

    private QueuedWork? Read(ClaimedItem item)
    {
        try
        {
            return QueuedWork.Parse(item.WorkJson);
        }
        catch (Exception exception) when (exception is JsonException or InvalidDataException)
        {
            LogUnreadable(_log, exception, item.Id);
            return null;
        }
    }

    private async Task<Settlement> DecideAsync(RunningItem running, QueuedWork work, Attempt attempt, TimeSpan age)
    {
        var item = running.Item;
        var notes = AttemptNotes.Of(item);
        if (attempt.Outcome.Error is not { } error)
        {
            return await FinishAsync(running, work, attempt, notes);
        }

        // The only way to be cancelled by a caller here; and what the stopping worker refused or killed did nothing wrong.
        if (error.Type == FaultType.Cancelled || (_stopping.IsCancellationRequested && (error.Type == FaultType.Throttled || error.Type.Owner() == FaultOwner.Platform)))
        {
            return new Settlement.Release(item.TenantId, item.Id, item.LeaseNo);
        }

        var verdict = RetryPolicy.Decide(
            new FailedAttempt(work.Retry, error.Type, item.Attempt, item.Losses + notes.Lost, notes.Refusals(item.Attempt), age), _random);
        return verdict.Again
            ? new Settlement.Retry(item.TenantId, item.Id, item.LeaseNo, verdict.Delay, verdict.Counts, notes.With(item.Attempt, attempt.Outcome, _settings.Name, verdict.Counts))
            : await FinishAsync(running, work, attempt, notes);
    }

    private async Task<Settlement.Finished> FinishAsync(RunningItem running, QueuedWork? work, Attempt attempt, AttemptNotes notes)
    {
        var item = running.Item;
        var row = _rows.Make(item, attempt.Spec, attempt.Outcome);
        var finished = new Settlement.Finished(item.LeaseNo, row, notes.With(item.Attempt, attempt.Outcome, _settings.Name, ran: true))
        {
            // A job's arguments are part of it, as its code is: they are shown with it, and it is run again with them.
            KeepPayload = item.Mode == JobRules.Mode || _rows.KeepsPayload(row.Status, item.Payload?.Length ?? 0),
        };
        return work is null ? finished : await _followUp(finished, item, work, running.Aborting);
    }

    private Settlement Defect(ClaimedItem item) => item.Attempt < RetryPolicy.MaxLosses
        ? new Settlement.Retry(item.TenantId, item.Id, item.LeaseNo, AfterDefect, CountsAsAttempt: true, item.AttemptsJson)
        : new Settlement.Finished(
            item.LeaseNo,
            _rows.Make(item, null, _runner.Failed(FaultType.SandboxLost, "An internal error ended the invocation; the worker's log has it.").Outcome),
            item.AttemptsJson);

    [LoggerMessage(2612, LogLevel.Error, "Queued invocation {InvocationId} met a defect")]
    private static partial void LogDefect(ILogger logger, Exception exception, string invocationId);

    [LoggerMessage(2613, LogLevel.Error, "How the invocation {InvocationId} was queued cannot be read")]
    private static partial void LogUnreadable(ILogger logger, Exception exception, string invocationId);
}
