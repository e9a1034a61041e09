using Microsoft.Extensions.ObjectPool;

namespace Flint.Runtime.Invocation;

/// <summary>What stopped a phase of an invocation from outside.</summary>
internal enum StopCause { None, Deadline, Caller, Shutdown }

/// <summary>
/// A reusable cancellation source that remembers which of deadline, caller and shutdown fired first, so that nobody guesses it from an
/// exception. One owner arms and disarms it; it may fire on any thread. Once fired it is not used again.
/// </summary>
internal sealed class DeadlineSource : IResettable, IDisposable
{
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _source = new();
    private readonly ITimer _timer;
    private readonly Lock _lock = new();
    // Guarded by _lock.
    private bool _armed;
    private bool _hasDue;
    private StopCause _cause;
    private long _armedAt;
    private TimeSpan _timeout;
    private Action? _onFired;
    // The owner's own.
    private CancellationTokenRegistration _caller;
    private CancellationTokenRegistration _aborting;
    private CancellationTokenRegistration _shutdown;

    public DeadlineSource(TimeProvider time)
    {
        _time = time;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((DeadlineSource)state!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    public CancellationToken Token => _source.Token;

    /// <summary>
    /// Begins a phase. <paramref name="onFired"/> runs once, before the token is cancelled, if anything fires before
    /// <see cref="Disarm"/>; it must not block or throw. An infinite timeout means no deadline.
    /// </summary>
    public void Arm(TimeSpan timeout, CancellationToken caller, CancellationToken aborting, CancellationToken shutdown, Action? onFired = null)
    {
        lock (_lock)
        {
            if (_armed)
            {
                throw new InvalidOperationException("The deadline is armed already.");
            }
            _armed = true;
            _hasDue = timeout != Timeout.InfiniteTimeSpan;
            _armedAt = _time.GetTimestamp();
            _timeout = timeout;
            _onFired = onFired;
        }
        if (_hasDue)
        {
            _timer.Change(timeout, Timeout.InfiniteTimeSpan);
        }
        _caller = caller.UnsafeRegister(static state => ((DeadlineSource)state!).Fire(StopCause.Caller), this);
        _aborting = aborting.UnsafeRegister(static state => ((DeadlineSource)state!).Fire(StopCause.Shutdown), this);
        _shutdown = shutdown.UnsafeRegister(static state => ((DeadlineSource)state!).Fire(StopCause.Shutdown), this);
    }

    /// <summary>Ends the phase: nothing fires any more. Answers what had fired, which then is what stopped the phase, whatever else it returned.</summary>
    public StopCause Disarm()
    {
        // Disposing waits for a callback that is running, so none of this phase can reach into the next.
        _caller.Dispose();
        _aborting.Dispose();
        _shutdown.Dispose();
        lock (_lock)
        {
            _armed = false;
            _onFired = null;
            if (_hasDue)
            {
                _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }
            return _cause;
        }
    }

    /// <summary>For the pool: false once it has fired.</summary>
    public bool TryReset() => _cause == StopCause.None && _source.TryReset();

    public void Dispose()
    {
        _timer.Dispose();
        _source.Dispose();
    }

    private void OnTimer()
    {
        lock (_lock)
        {
            if (!_armed || !_hasDue)
            {
                return;
            }
            // The system's timers are coarser than its clock, and a tick of an earlier phase may come late.
            var remaining = _timeout - _time.GetElapsedTime(_armedAt);
            if (remaining > TimeSpan.Zero)
            {
                _timer.Change(remaining, Timeout.InfiniteTimeSpan);
                return;
            }
        }
        Fire(StopCause.Deadline);
    }

    private void Fire(StopCause cause)
    {
        Action? onFired;
        lock (_lock)
        {
            if (!_armed || _cause != StopCause.None)
            {
                return;
            }
            _cause = cause;
            onFired = _onFired;
        }
        onFired?.Invoke();
        _source.Cancel();
    }
}

/// <summary>Lends deadline sources. A pooled one saves a timer and a cancellation source per invocation.</summary>
internal sealed class DeadlinePool(TimeProvider time)
{
    private readonly ObjectPool<DeadlineSource> _pool = new DefaultObjectPoolProvider { MaximumRetained = 256 }.Create(new Policy(time));

    public DeadlineSource Rent() => _pool.Get();

    public void Return(DeadlineSource source) => _pool.Return(source);

    private sealed class Policy(TimeProvider time) : PooledObjectPolicy<DeadlineSource>
    {
        public override DeadlineSource Create() => new(time);

        // A refused one is disposed by the pool.
        public override bool Return(DeadlineSource source) => source.TryReset();
    }
}
