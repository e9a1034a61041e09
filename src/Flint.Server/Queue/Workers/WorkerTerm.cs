namespace Flint.Server.Queue.Workers;

/// <summary>
/// This worker under one id, from its registration until its lease ends or is lost. Counted on the monotonic clock from before each renewal was sent, so
/// that it is over here before it is over in the database. Thread-safe.
/// </summary>
internal sealed class WorkerTerm : IDisposable
{
    private readonly TimeSpan _length;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _lost = new();
    private readonly ITimer _timer;
    private readonly Lock _lock = new();
    private long _from;
    private bool _over;

    public WorkerTerm(string workerId, TimeSpan length, long sentAt, TimeProvider time)
    {
        WorkerId = workerId;
        _length = length;
        _time = time;
        _from = sentAt;
        // Read once: the source may be disposed when somebody still looks.
        Lost = _lost.Token;
        using (ExecutionContext.SuppressFlow())
        {
            _timer = time.CreateTimer(static state => ((WorkerTerm)state!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }

        Look();
    }

    public string WorkerId { get; }

    /// <summary>Fires when nothing that runs under this id may run on.</summary>
    public CancellationToken Lost { get; }

    /// <summary>A renewal that was sent then has succeeded. False when it came too late: what ran was killed.</summary>
    public bool Prolong(long sentAt)
    {
        lock (_lock)
        {
            _from = sentAt;
        }

        Look();
        return !Lost.IsCancellationRequested;
    }

    public void End()
    {
        lock (_lock)
        {
            if (_over)
            {
                return;
            }

            _over = true;
        }

        _timer.Dispose();
        // Seen as cancelled at once; what hangs on it does not run on the clock's thread.
        _ = _lost.CancelAsync();
    }

    public void Dispose()
    {
        _timer.Dispose();
        _lost.Dispose();
    }

    private void Look()
    {
        lock (_lock)
        {
            if (_over)
            {
                return;
            }

            // The system's timers are coarser than its clock.
            var left = _length - _time.GetElapsedTime(_from);
            if (left > TimeSpan.Zero)
            {
                _timer.Change(left, Timeout.InfiniteTimeSpan);
                return;
            }
        }

        End();
    }
}
