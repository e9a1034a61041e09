namespace Flint.Runtime.Loops;

/// <summary>
/// Wakes one waiting loop. Signals that come while nobody waits collapse into one, so none is lost. Any thread may set it; one waits.
/// </summary>
internal sealed class WakeSignal : IDisposable
{
    private readonly Lock _lock = new();
    private readonly ITimer _timer;
    private TaskCompletionSource? _waiter;
    private bool _set;

    public WakeSignal(TimeProvider time)
    {
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((WakeSignal)state!).Elapsed(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    public void Set()
    {
        TaskCompletionSource? waiter;
        lock (_lock)
        {
            waiter = _waiter;
            _waiter = null;
            _set = waiter is null;
        }
        waiter?.TrySetResult();
    }

    /// <summary>Completes at the signal or when the time is up, whichever comes first; a stale timer may complete it early.</summary>
    public async Task WaitAsync(TimeSpan atMost, CancellationToken cancellationToken)
    {
        TaskCompletionSource waiter;
        lock (_lock)
        {
            if (_set)
            {
                _set = false;
                return;
            }
            waiter = _waiter = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        _timer.Change(atMost, Timeout.InfiniteTimeSpan);
        await using var registration = cancellationToken.UnsafeRegister(
            static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), waiter);
        await waiter.Task;
    }

    public void Dispose() => _timer.Dispose();

    /// <summary>Unlike <see cref="Set"/> it leaves no mark when nobody waits.</summary>
    private void Elapsed()
    {
        TaskCompletionSource? waiter;
        lock (_lock)
        {
            waiter = _waiter;
            _waiter = null;
        }
        waiter?.TrySetResult();
    }
}
