using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Loops;

/// <summary>
/// The one base of background loops. A subclass does its work in <see cref="RunOnceAsync"/>, which tests call directly; the base runs it
/// by period (with jitter, so that a fleet does not beat in step), by <see cref="Wake"/>, or both, never twice at a time, and
/// goes on after any failure. Start and stop as a hosted service; both are idempotent.
/// </summary>
public abstract partial class BackgroundLoop : IHostedService, IDisposable
{
    private readonly TimeSpan _period;
    private readonly ILogger _logger;
    private readonly WakeSignal _wake;
    private readonly CancellationTokenSource _stopping = new();
    private readonly CancellationTokenSource _aborting = new();
    private readonly Lock _startLock = new();
    /// <summary>Written by the loop only; read by anyone.</summary>
    private volatile LoopState _state;
    private Task? _loop;

    /// <param name="name">Short and stable: it stands in logs and in the health answer.</param>
    /// <param name="period">Between the end of a run and the next; <see cref="Timeout.InfiniteTimeSpan"/> means only when woken.</param>
    protected BackgroundLoop(string name, TimeSpan period, TimeProvider time, ILogger logger)
    {
        _period = period;
        _logger = logger;
        Time = time;
        _wake = new WakeSignal(time);
        _state = new LoopState(name, 0, 0, null, null, TimeSpan.Zero, null);
    }

    public LoopState State => _state;

    protected TimeProvider Time { get; }

    /// <summary>Part of the period that is drawn at random, 0 to 1. Default: a tenth.</summary>
    protected virtual double Jitter => 0.1;

    /// <summary>False: the first run comes at start. True: after one period.</summary>
    protected virtual bool WaitFirst => false;

    /// <summary>All of the loop's work, once. The token is the aborting one: it fires when shutdown gives up waiting.</summary>
    public abstract Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken);

    /// <summary>Runs the loop soon. Cheap, from any thread; calls during a run lead to one more run.</summary>
    public void Wake() => _wake.Set();

    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (_startLock)
        {
            using (ExecutionContext.SuppressFlow())
            {
                _loop ??= Task.Run(LoopAsync, CancellationToken.None);
            }
        }
        return Task.CompletedTask;
    }

    /// <summary>Lets a run that has begun finish; when the token fires, aborts it and waits until it has left.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stopping.CancelAsync();
        Task? loop;
        lock (_startLock)
        {
            loop = _loop;
        }
        if (loop is null)
        {
            return;
        }
        await using var registration = cancellationToken.UnsafeRegister(static state => ((CancellationTokenSource)state!).Cancel(), _aborting);
        await loop;
    }

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        _wake.Dispose();
        _stopping.Dispose();
        _aborting.Dispose();
    }

    private async Task LoopAsync()
    {
        var stopping = _stopping.Token;
        var next = WaitFirst ? Delay(null) : TimeSpan.Zero;
        try
        {
            while (!stopping.IsCancellationRequested)
            {
                var waitedFrom = Time.GetTimestamp();
                if (next != TimeSpan.Zero)
                {
                    await _wake.WaitAsync(next, stopping);
                }
                var waited = Time.GetElapsedTime(waitedFrom);
                var lateness = next > TimeSpan.Zero && waited > next ? waited - next : TimeSpan.Zero;
                next = Delay(await RunGuardedAsync(lateness));
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Stopped while it waited: the normal end.
        }
    }

    /// <summary>The loop boundary: the only place that catches everything, because one bad run must not end the loop.</summary>
    private async Task<LoopRun?> RunGuardedAsync(TimeSpan lateness)
    {
        var before = _state;
        var started = Time.GetUtcNow();
        try
        {
            var run = await RunOnceAsync(_aborting.Token);
            _state = before with
            {
                Runs = before.Runs + 1,
                LastStarted = started,
                LastCompleted = Time.GetUtcNow(),
                Lateness = lateness,
                LastError = null,
            };
            return run;
        }
        catch (OperationCanceledException) when (_aborting.IsCancellationRequested)
        {
            LogAborted(_logger, before.Name);
            return null;
        }
        catch (Exception exception)
        {
            LogFailed(_logger, exception, before.Name);
            _state = before with
            {
                Runs = before.Runs + 1,
                Failures = before.Failures + 1,
                LastStarted = started,
                Lateness = lateness,
                LastError = exception.Message,
            };
            return null;
        }
    }

    private TimeSpan Delay(LoopRun? run)
    {
        if (run?.NextIn is { } next)
        {
            return next;
        }
        // Half of the jitter to either side, so that the mean stays the period.
        return _period == Timeout.InfiniteTimeSpan
            ? run is null && _state.LastError is not null ? RetryDelay : _period
            : _period * (1 + (Jitter * (Random.Shared.NextDouble() - 0.5)));
    }

    /// <summary>A loop that only wake-ups drive retries a failed run after this, else what the run left undone would wait for the next signal.</summary>
    private static TimeSpan RetryDelay => TimeSpan.FromSeconds(1);

    [LoggerMessage(1001, LogLevel.Error, "The loop {Loop} failed and goes on")]
    private static partial void LogFailed(ILogger logger, Exception exception, string loop);

    [LoggerMessage(1002, LogLevel.Warning, "The loop {Loop} was aborted in the middle of a run")]
    private static partial void LogAborted(ILogger logger, string loop);
}
