using Flint.Data.Queue;
using Flint.Runtime.Loops;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Keeps this worker registered and its lease alive. When it could not be renewed in time, or the store says that it is over, all that ran under it is killed and the worker comes back under a new
/// id. Each renewal also tells what was cancelled elsewhere, what was claimed without our knowing, and whether somebody asked the worker to drain.
/// </summary>
internal sealed partial class WorkerLease : BackgroundLoop
{
    private readonly IQueueStore _store;
    private readonly RunningItems _running;
    private readonly WorkerPlaces _places;
    private readonly Func<string> _details;
    private readonly WorkerSettings _settings;
    private readonly ILogger _log;
    /// <summary>Written by the loop; read by anyone. Null before the first registration and between two terms.</summary>
    private volatile WorkerTerm? _term;
    /// <summary>Written by the loop only: leases that the last renewal told of and that nobody here knew.</summary>
    private HashSet<LeasedItem> _strays = [];
    private volatile bool _draining;
    /// <summary>Counts what was asked here, so that a renewal that was already on its way does not undo it.</summary>
    private long _drainsAsked;

    public WorkerLease(
        IQueueStore store, RunningItems running, WorkerPlaces places, Func<string> details, WorkerSettings settings, TimeProvider time, ILogger<WorkerLease> log)
        : base("worker-lease", settings.RetryAfter, time, log)
    {
        _store = store;
        _running = running;
        _places = places;
        _details = details;
        _settings = settings;
        _log = log;
    }

    /// <summary>Null while there is no lease: nothing may be claimed then.</summary>
    public WorkerTerm? Term => _term is { Lost.IsCancellationRequested: false } term ? term : null;

    public bool Draining => _draining;

    /// <summary>It may claim again: a new term, or the end of a drain. Set once, by the producer; must be short.</summary>
    public Action? Ready { get; set; }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        if (Term is { } term)
        {
            return await RenewAsync(term, cancellationToken);
        }

        await RegisterAsync(cancellationToken);
        return new LoopRun(1, _settings.RenewEvery);
    }

    /// <summary>The store says that the term is over.</summary>
    public void Lose(WorkerTerm term)
    {
        term.End();
        Wake();
    }

    /// <summary>Takes no more work, or takes work again; at once here, and for all to see. What runs goes on.</summary>
    public async Task DrainAsync(bool drain, CancellationToken cancellationToken)
    {
        if (_term is { } term)
        {
            await _store.AskDrainAsync(term.WorkerId, drain, cancellationToken);
        }

        Interlocked.Increment(ref _drainsAsked);
        SetDraining(drain);
        // So that the list of workers shows it.
        Wake();
    }

    /// <summary>Gives the lease back: what is still leased is READY again at once. Call it when nothing runs.</summary>
    public async Task LeaveAsync(CancellationToken cancellationToken)
    {
        if (_term is not { } term)
        {
            return;
        }

        _term = null;
        term.End();
        await _store.LeaveAsync(term.WorkerId, cancellationToken);
        LogLeft(_log, term.WorkerId);
    }

    protected override void Dispose(bool disposing)
    {
        _term?.Dispose();
        base.Dispose(disposing);
    }

    private async Task RegisterAsync(CancellationToken cancellationToken)
    {
        var before = _term;
        if (before is not null)
        {
            LogLost(_log, before.WorkerId, _running.Of(before).Count);
            _term = null;
        }

        _strays = [];
        var id = Guid.CreateVersion7(Time.GetUtcNow()).ToString("d");
        var sentAt = Time.GetTimestamp();
        await _store.RegisterAsync(Info(id), _settings.Lease, cancellationToken);
        _term = new WorkerTerm(id, _settings.Held, sentAt, Time);
        LogRegistered(_log, id, _settings.Name, _settings.Places);
        Ready?.Invoke();
    }

    private async Task<LoopRun> RenewAsync(WorkerTerm term, CancellationToken cancellationToken)
    {
        // What is claimed from here on may be missing from the answer, and is no less ours.
        var known = _running.Of(term);
        var asked = Interlocked.Read(ref _drainsAsked);
        var sentAt = Time.GetTimestamp();
        Renewal renewal;
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, term.Lost);
        try
        {
            // A store that hangs must not keep the worker from coming back.
            renewal = await _store.RenewAsync(Info(term.WorkerId), _settings.Lease, ending.Token).WaitAsync(ending.Token);
        }
        catch (OperationCanceledException) when (term.Lost.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            return new LoopRun(0, TimeSpan.Zero);
        }

        if (!renewal.Held || !term.Prolong(sentAt))
        {
            term.End();
            return new LoopRun(0, TimeSpan.Zero);
        }

        if (asked == Interlocked.Read(ref _drainsAsked))
        {
            SetDraining(renewal.DrainAsked);
        }

        var cancelled = CancelMissing(known, renewal.Items);
        await ReleaseStraysAsync(renewal.Items, cancellationToken);
        return new LoopRun(cancelled, _settings.RenewEvery);
    }

    private static int CancelMissing(IReadOnlyList<RunningItem> known, IReadOnlyList<LeasedItem> leased)
    {
        var still = leased.ToHashSet();
        var cancelled = 0;
        foreach (var item in known)
        {
            if (!still.Contains(item.Lease))
            {
                item.Cancel();
                cancelled++;
            }
        }

        return cancelled;
    }

    /// <summary>Leased to this worker, and unknown here twice in a row: the answer of the claim was lost, so nobody would ever run it.</summary>
    private async Task ReleaseStraysAsync(IReadOnlyList<LeasedItem> leased, CancellationToken cancellationToken)
    {
        var unknown = leased.Where(lease => !_running.Knows(lease)).ToHashSet();
        var strays = unknown.Where(_strays.Contains).ToArray();
        _strays = unknown;
        if (strays.Length > 0)
        {
            await _store.SettleAsync([.. strays.Select(stray => new Settlement.Release(stray.TenantId, stray.Id, stray.LeaseNo))], cancellationToken);
            LogStrays(_log, strays.Length);
            Ready?.Invoke();
        }
    }

    private void SetDraining(bool draining)
    {
        if (_draining == draining)
        {
            return;
        }

        _draining = draining;
        LogDraining(_log, draining ? "takes no more work" : "takes work again");
        Ready?.Invoke();
    }

    private WorkerInfo Info(string id) => new()
    {
        Id = id,
        Name = _settings.Name,
        ProductVersion = ProductVersion,
        Roles = _settings.Roles,
        Places = _places.Now(),
        Running = _running.Running,
        Draining = _draining,
        DetailsJson = _details(),
    };

    private static string ProductVersion { get; } = typeof(WorkerLease).Assembly.GetName().Version?.ToString(3) ?? "";

    [LoggerMessage(2601, LogLevel.Information, "Registered as worker {WorkerId} ({Name}) with {Places} places")]
    private static partial void LogRegistered(ILogger logger, string workerId, string name, int places);

    [LoggerMessage(2602, LogLevel.Warning, "The lease of worker {WorkerId} was lost; {Count} runs were killed and will be tried again")]
    private static partial void LogLost(ILogger logger, string workerId, int count);

    [LoggerMessage(2603, LogLevel.Information, "Worker {WorkerId} gave its lease back")]
    private static partial void LogLeft(ILogger logger, string workerId);

    [LoggerMessage(2604, LogLevel.Warning, "Released {Count} items that were claimed without the answer arriving")]
    private static partial void LogStrays(ILogger logger, int count);

    [LoggerMessage(2605, LogLevel.Information, "This worker {What}")]
    private static partial void LogDraining(ILogger logger, string what);
}
