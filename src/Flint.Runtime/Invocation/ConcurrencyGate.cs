using Flint.Runtime.Hosting;

namespace Flint.Runtime.Invocation;

/// <summary>
/// Bounds the invocations in flight on this worker, running and waiting, and lets shutdown close the door and wait for them. Thread-safe.
/// </summary>
internal sealed class ConcurrencyGate(int max)
{
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _inFlight;
    private volatile bool _closed;

    public int InFlight => Volatile.Read(ref _inFlight);

    /// <summary>Completes when the gate is closed and the last invocation has left.</summary>
    public Task Drained => _drained.Task;

    /// <summary>Null when the invocation may go in, and then <see cref="Leave"/> must follow; else why not.</summary>
    public InvocationError? TryEnter()
    {
        var inFlight = Interlocked.Increment(ref _inFlight);
        if (!_closed && inFlight <= max)
        {
            return null;
        }
        Leave();
        return _closed
            ? new InvocationError(FaultType.EngineUnavailable, "This worker is stopping and takes no more work.")
            : new InvocationError(FaultType.Throttled,
                $"{max} invocations are in flight on this worker, as many as {LimitOptions.Section}:MaxConcurrency = {max} allows.");
    }

    public void Leave()
    {
        if (Interlocked.Decrement(ref _inFlight) == 0 && _closed)
        {
            _drained.TrySetResult();
        }
    }

    public void Close()
    {
        _closed = true;
        // Someone who entered before sees the closed gate when leaving, or has left before this read.
        Interlocked.MemoryBarrier();
        if (InFlight == 0)
        {
            _drained.TrySetResult();
        }
    }
}
