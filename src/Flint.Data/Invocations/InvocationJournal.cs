using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Data.Invocations;

/// <summary>
/// Where the server records finished sync invocations: batches them within a window (50 ms) into the store, makes them visible to this server's
/// reads at once, and makes callers wait when its bounded buffer is full. While the store fails, batches are tried again with growing
/// delays and nothing is dropped. Thread-safe; recording costs a short lock and no more.
/// </summary>
public sealed class InvocationJournal : IAsyncDisposable
{
    private readonly IInvocationStore _store;
    private readonly JournalOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly JournalWriter _writer;
    private readonly Lock _lock = new();
    private readonly JournalBuffer _buffer;
    private readonly ITimer _window;
    private readonly SemaphoreSlim _wake = new(0);
    private readonly CancellationTokenSource _givingUp;
    private readonly Task _flusher;
    private bool _armed;
    private bool _due;
    private bool _woken;
    private bool _closed;
    private long _written;
    private long _wakeAfter = long.MaxValue;
    private Action? _onWritten;
    private Task? _disposal;

    public InvocationJournal(IInvocationStore store)
        : this(store, new JournalOptions(), TimeProvider.System, NullLogger<InvocationJournal>.Instance)
    {
    }

    public InvocationJournal(IInvocationStore store, JournalOptions options, TimeProvider time, ILogger<InvocationJournal> log)
    {
        _store = store;
        _options = options;
        _time = time;
        _log = log;
        _writer = new JournalWriter(store, time, log);
        _buffer = new JournalBuffer(options);
        _givingUp = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        using (ExecutionContext.SuppressFlow())
        {
            _window = time.CreateTimer(static journal => ((InvocationJournal)journal!).WindowEnded(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            _flusher = Task.Run(FlushLoopAsync);
        }
    }

    /// <summary>
    /// Completes when the row is buffered, or, when <paramref name="strict"/>, committed. Cancelling ends a wait for room, and then the row is not
    /// recorded; a strict row that is buffered will be committed all the same. Throws <see cref="ArgumentException"/> for a row that could not be stored (an id
    /// that is no UUID, an unknown status), and <see cref="ObjectDisposedException"/> once disposal has begun: record before the server stops its journal.
    /// </summary>
    public ValueTask RecordAsync(InvocationRow row, bool strict, CancellationToken cancellationToken)
    {
        row = InvocationRules.Storable(row);
        var size = JournalBuffer.SizeOf(row);
        var committed = strict ? new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously) : null;
        LinkedListNode<JournalBuffer.RoomWaiter> waiter;
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            if (_buffer.HasRoomFor(size))
            {
                _buffer.Add(row, size, committed, _time.GetTimestamp());
                WakeLocked();
                return committed is null ? ValueTask.CompletedTask : new ValueTask(committed.Task.WaitAsync(cancellationToken));
            }

            waiter = _buffer.AddRoomWaiter(
                new(row, size, committed, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), _time.GetTimestamp()));
            WakeLocked();
        }

        return new ValueTask(WaitForRoomAsync(waiter, cancellationToken));
    }

    /// <summary>How far the store is behind, now. Costs a short lock.</summary>
    public JournalState State
    {
        get
        {
            lock (_lock)
            {
                return new JournalState(_buffer.Rows, _buffer.Oldest is { } oldest ? _time.GetElapsedTime(oldest) : TimeSpan.Zero, _writer.LastError);
            }
        }
    }

    /// <summary>
    /// True while callers that wait for room hold more than the buffer's limits allow beside it: what has run is recorded all the same, so nothing more
    /// should be run. Costs a field read.
    /// </summary>
    public bool IsOverloaded => _buffer.IsOverloaded;

    /// <summary>
    /// Calls <paramref name="action"/>, which must be short and not throw, each time that more than <paramref name="bytes"/> (about) were
    /// committed. One action at a time; null ends it.
    /// </summary>
    public void OnWritten(long bytes, Action? action)
    {
        lock (_lock)
        {
            _wakeAfter = action is null ? long.MaxValue : bytes;
            _onWritten = action;
        }
    }

    /// <summary>One invocation with payload, result and log, or null; what is buffered included.</summary>
    public async Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        InvocationRow? buffered;
        lock (_lock)
        {
            buffered = _buffer.Find(tenantId, id);
        }

        return buffered ?? await _store.GetAsync(tenantId, id, cancellationToken);
    }

    /// <summary>A page as the store gives it, with what is buffered merged in. Throws <see cref="ArgumentException"/> for a bad limit, status or cursor.</summary>
    public async Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken)
    {
        query = InvocationRules.Storable(query);

        // The buffer first: a row that is committed between the two looks is then found twice, never missed.
        List<InvocationRow> buffered;
        lock (_lock)
        {
            buffered = _buffer.Match(row => InvocationRules.Matches(query, row));
        }

        return buffered.Count == 0 ? await _store.ListAsync(query, cancellationToken) : await JournalMerge.PageAsync(_store, query, buffered, cancellationToken);
    }

    /// <summary>
    /// Refuses new rows and commits all that is buffered. While the store fails it keeps trying for <see cref="JournalOptions.ShutdownTimeout"/>; what is then
    /// unwritten is lost, which the log says, and strict callers get a <see cref="DatabaseException"/>.
    /// </summary>
    public ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            return new ValueTask(_disposal ??= CloseLockedAsync());
        }
    }

    private Task CloseLockedAsync()
    {
        _closed = true;
        WakeLocked();
        _givingUp.CancelAfter(_options.ShutdownTimeout);
        return EndAsync();
    }

    private async Task EndAsync()
    {
        await _flusher;
        await _window.DisposeAsync();
        _givingUp.Dispose();
    }

    private async Task WaitForRoomAsync(LinkedListNode<JournalBuffer.RoomWaiter> waiter, CancellationToken cancellationToken)
    {
        try
        {
            await using var registration = cancellationToken.UnsafeRegister(
                static (state, token) => ((TaskCompletionSource)state!).TrySetCanceled(token), waiter.Value.Admitted);
            await waiter.Value.Admitted.Task;
        }
        catch (OperationCanceledException)
        {
            lock (_lock)
            {
                _buffer.RemoveRoomWaiter(waiter);
            }

            throw;
        }

        if (waiter.Value.Committed is { } committed)
        {
            await committed.Task.WaitAsync(cancellationToken);
        }
    }

    private void WindowEnded()
    {
        lock (_lock)
        {
            _armed = false;
            _due = _buffer.Waiting > 0;
            WakeLocked();
        }
    }

    /// <summary>Wakes the flusher when a batch is ready; otherwise the first waiting row starts the window.</summary>
    private void WakeLocked()
    {
        if (_closed || _buffer.BatchIsFull || _due)
        {
            if (!_woken)
            {
                _woken = true;
                _wake.Release();
            }
        }
        else if (_buffer.Waiting > 0 && !_armed)
        {
            _armed = true;
            _window.Change(_options.Window, Timeout.InfiniteTimeSpan);
        }
    }

    private async Task FlushLoopAsync()
    {
        while (true)
        {
            await _wake.WaitAsync();
            lock (_lock)
            {
                _woken = false;
            }

            while (TakeBatch() is { } batch)
            {
                var written = await _writer.WriteAsync(batch.ConvertAll(static entry => entry.Row), _givingUp.Token);
                Committed(batch[..written]);
                if (written < batch.Count)
                {
                    GiveUp(batch[written..]);
                    return;
                }
            }

            lock (_lock)
            {
                if (_closed && _buffer.IsEmpty)
                {
                    return;
                }
            }
        }
    }

    private List<JournalBuffer.Entry>? TakeBatch()
    {
        lock (_lock)
        {
            if (_buffer.Waiting == 0 || !(_closed || _due || _buffer.BatchIsFull))
            {
                return null;
            }

            var batch = _buffer.TakeBatch();
            if (_buffer.Waiting == 0)
            {
                _due = false;
                _armed = false;
                _window.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            }

            return batch;
        }
    }

    private void Committed(List<JournalBuffer.Entry> batch)
    {
        Action? wake = null;
        lock (_lock)
        {
            _buffer.Committed(batch);
            WakeLocked();
            _written += batch.Sum(static entry => entry.Size);
            if (_written > _wakeAfter)
            {
                _written = 0;
                wake = _onWritten;
            }
        }

        wake?.Invoke();
        foreach (var entry in batch)
        {
            entry.Committed?.TrySetResult();
        }
    }

    private void GiveUp(List<JournalBuffer.Entry> batch)
    {
        var lost = new DatabaseException("The server stopped before the record could be written.");
        lock (_lock)
        {
            while (_buffer.Waiting > 0)
            {
                batch.AddRange(_buffer.TakeBatch());
            }

            _buffer.RefuseRoomWaiters(lost);
        }

        DatabaseLog.RecordsLost(_log, batch.Count);
        foreach (var entry in batch)
        {
            entry.Committed?.TrySetException(lost);
        }
    }
}
