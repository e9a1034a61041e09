namespace Flint.TestKit.Time;

/// <summary>
/// A clock that stands still until a test moves it. Timers fire inside <see cref="Advance(TimeSpan)"/>, in the order of their due times, with
/// the clock at each one's due time. Thread-safe; callbacks run on the advancing thread, outside the lock.
/// </summary>
public sealed class ManualTimeProvider : TimeProvider
{
    private readonly Lock _lock = new();
    private readonly List<ManualTimer> _timers = [];
    private DateTimeOffset _now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);
    private long _sequence;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;
    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <summary>How many timers wait; a test can assert that nothing leaks.</summary>
    public int ActiveTimers
    {
        get
        {
            lock (_lock)
            {
                return _timers.Count;
            }
        }
    }

    public override DateTimeOffset GetUtcNow()
    {
        lock (_lock)
        {
            return _now;
        }
    }

    public override long GetTimestamp() => GetUtcNow().UtcTicks;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new ManualTimer(this, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    public void Advance(TimeSpan by)
    {
        var end = GetUtcNow() + by;
        while (TakeDue(end) is { } timer)
        {
            timer.Fire();
        }
    }

    public void Advance(int milliseconds) => Advance(TimeSpan.FromMilliseconds(milliseconds));

    /// <summary>Waits, in real time and bounded, until somebody has armed a timer that is due within <paramref name="within"/>.</summary>
    public async Task WaitForTimerAsync(TimeSpan within)
    {
        var deadline = System.GetTimestamp();
        while (true)
        {
            lock (_lock)
            {
                if (_timers.Exists(timer => timer.Due - _now <= within))
                {
                    return;
                }
            }
            if (System.GetElapsedTime(deadline) > TimeSpan.FromSeconds(10))
            {
                throw new TimeoutException($"No timer due within {within} was armed in 10 seconds.");
            }
            await Task.Yield();
        }
    }

    private ManualTimer? TakeDue(DateTimeOffset end)
    {
        lock (_lock)
        {
            ManualTimer? first = null;
            foreach (var timer in _timers)
            {
                if (timer.Due <= end && (first is null || (timer.Due, timer.Order).CompareTo((first.Due, first.Order)) < 0))
                {
                    first = timer;
                }
            }
            if (first is null)
            {
                _now = end;
                return null;
            }
            _now = first.Due > _now ? first.Due : _now;
            _timers.Remove(first);
            if (first.Period > TimeSpan.Zero)
            {
                first.Due = _now + first.Period;
                first.Order = ++_sequence;
                _timers.Add(first);
            }
            return first;
        }
    }

    private sealed class ManualTimer(ManualTimeProvider owner, TimerCallback callback, object? state) : ITimer
    {
        public DateTimeOffset Due { get; set; }
        public TimeSpan Period { get; private set; }
        public long Order { get; set; }
        private bool _disposed;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (owner._lock)
            {
                if (_disposed)
                {
                    return false;
                }
                owner._timers.Remove(this);
                Period = period == Timeout.InfiniteTimeSpan ? TimeSpan.Zero : period;
                if (dueTime != Timeout.InfiniteTimeSpan)
                {
                    Due = owner._now + dueTime;
                    Order = ++owner._sequence;
                    owner._timers.Add(this);
                }
                return true;
            }
        }

        public void Fire() => callback(state);

        public void Dispose()
        {
            lock (owner._lock)
            {
                _disposed = true;
                owner._timers.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }
    }
}
