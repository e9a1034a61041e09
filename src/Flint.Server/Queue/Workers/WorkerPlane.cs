using Flint.Data;
using Flint.Runtime.Hosting;
using Flint.Runtime.Loops;
using Microsoft.Extensions.Options;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Starts and stops what takes work from the queue. Stop, beside the runtime's own: claim no more and give back what was not begun, before anything else stops; let what runs finish while the
/// runtime drains, kill the rest; when all has stopped, write the last settlements and give the lease back.
/// </summary>
internal sealed partial class WorkerPlane : IHostedLifecycleService
{
    /// <summary>For the store to answer when the worker stops. What it did not take comes back with the lease's end.</summary>
    private static readonly TimeSpan StorePatience = TimeSpan.FromSeconds(5);

    /// <summary>For killed runs to end.</summary>
    private static readonly TimeSpan AbortPatience = TimeSpan.FromSeconds(5);

    private readonly IDatabase _database;
    private readonly WorkerLease _lease;
    private readonly JobProducer _producer;
    private readonly JobExecutor _executor;
    private readonly JobCompleter _completer;
    private readonly RunningItems _running;
    private readonly Rescuer _rescuer;
    private readonly BackgroundLoop[] _upkeep;
    private readonly TimeSpan _drain;
    private readonly TimeProvider _time;
    private readonly ILogger _log;

    public WorkerPlane(
        IDatabase database, WorkerLease lease, JobProducer producer, JobExecutor executor, JobCompleter completer, RunningItems running, Rescuer rescuer, Expirer expirer,
        QueueTidier tidier, JobCode code, QueueNotices notices, IOptions<SandboxOptions> sandboxes, TimeProvider time, ILogger<WorkerPlane> log)
    {
        _database = database;
        _lease = lease;
        _producer = producer;
        _executor = executor;
        _completer = completer;
        _running = running;
        _rescuer = rescuer;
        _upkeep = [rescuer, expirer, tidier, code];
        _drain = TimeSpan.FromMilliseconds(sandboxes.Value.DrainTimeoutMs);
        _time = time;
        _log = log;
        notices.Work += producer.Wake;
        notices.Cancelled += (tenantId, id) =>
        {
            running.Cancel(tenantId, id);
            // What it held of its lane's limit is free.
            producer.Wake();
        };
        completer.Settled = finished =>
        {
            if (finished.Count > 0)
            {
                notices.Finished([.. finished.Select(static lease => lease.Id)]);
            }

            // A lane's limit may let another begin, and a retry's time is known only now.
            producer.Wake();
        };
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        if (_database.Provider == "sqlite")
        {
            await _rescuer.VoidEarlierLeasesAsync(cancellationToken);
        }

        foreach (var loop in (BackgroundLoop[])[.. _upkeep, _completer, _lease, _producer])
        {
            await loop.StartAsync(cancellationToken);
        }
    }

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        await StopAsync(_producer, cancellationToken);
        await _executor.StopAsync();
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (!await IdleAsync(_drain, cancellationToken))
        {
            LogKilled(_log, _running.Running);
            _running.AbortAll();
            await IdleAsync(AbortPatience, CancellationToken.None);
        }
    }

    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        foreach (var loop in (BackgroundLoop[])[.. _upkeep, _completer])
        {
            await StopAsync(loop, cancellationToken);
        }

        // The lease loop until here: the last settlements need the lease.
        await TryAsync("write the last results", _completer.RunOnceAsync);
        await StopAsync(_lease, cancellationToken);
        await TryAsync("give the lease back", _lease.LeaveAsync);
    }

    private async Task StopAsync(BackgroundLoop loop, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(StorePatience, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        await loop.StopAsync(either.Token);
    }

    private async Task<bool> IdleAsync(TimeSpan atMost, CancellationToken cancellationToken)
    {
        var idle = _running.IdleAsync();
        await idle.WaitAsync(atMost, _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return idle.IsCompleted;
    }

    private async Task TryAsync(string what, Func<CancellationToken, Task> work)
    {
        using var patience = new CancellationTokenSource(StorePatience, _time);
        try
        {
            await work(patience.Token).WaitAsync(patience.Token);
        }
        catch (Exception exception) when (exception is DatabaseException or OperationCanceledException)
        {
            LogUnable(_log, exception, what);
        }
    }

    [LoggerMessage(2606, LogLevel.Warning, "{Count} queued invocations did not finish in time; they are killed and go back to the queue")]
    private static partial void LogKilled(ILogger logger, int count);

    [LoggerMessage(2607, LogLevel.Warning, "The worker could not {What} when it stopped; its items come back when its lease ends")]
    private static partial void LogUnable(ILogger logger, Exception exception, string what);
}
