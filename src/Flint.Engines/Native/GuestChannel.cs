using System.Threading.Tasks.Sources;

namespace Flint.Engines.Native;

/// <summary>
/// The worker's end of a guest's channel: a stream for one reader and one writer at a time. Owns the descriptor. What is wrong with the connection is an
/// <see cref="IOException"/>.
/// </summary>
/// <remarks>
/// .NET's sockets listen for room to write all the time, so that the guest wakes them whenever it takes what was sent; this one listens for room when there was
/// none. It also knows that nothing has come since all was read, and does not ask.
/// </remarks>
internal sealed class GuestChannel : Stream, IPolled, IValueTaskSource<int>
{
    private const uint ForReading = Libc.EpollIn | Libc.EpollRdHup | Libc.EpollEdge;
    private readonly Lock _lock = new();
    private readonly Poller _poller;
    private readonly int _descriptor;
    private readonly long _token;

    // All under the lock. The read that waits; its buffer is its caller's again once it is completed.
    private ManualResetValueTaskSourceCore<int> _read;
    private CancellationTokenRegistration _cancellation;
    private Memory<byte> _target;
    private bool _waiting;
    /// <summary>The write that waits for room.</summary>
    private TaskCompletionSource? _room;
    /// <summary>There may be bytes, or the end.</summary>
    private bool _readable = true;
    /// <summary>The other side has ended, so that no event will tell of what is left: every read asks.</summary>
    private bool _ended;
    private bool _muted;
    private bool _closed;

    /// <summary>Takes the descriptor, also when it throws <see cref="IOException"/> since it cannot be watched.</summary>
    public GuestChannel(GuestPollers pollers, int descriptor)
    {
        _descriptor = descriptor;
        _poller = pollers.NextForChannel();
        _read.RunContinuationsAsynchronously = !pollers.AnswersInline;
        try
        {
            _token = _poller.Add(this, descriptor, ForReading);
        }
        catch (IOException)
        {
            Libc.Close(descriptor);
            throw;
        }
    }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            if (_waiting)
            {
                throw new InvalidOperationException("A channel has one reader at a time.");
            }

            if (cancellationToken.IsCancellationRequested)
            {
                return ValueTask.FromCanceled<int>(cancellationToken);
            }

            var count = (_readable || _ended) && !buffer.IsEmpty ? ReceiveLocked(buffer.Span) : -1;
            if (count >= 0 || buffer.IsEmpty)
            {
                return new ValueTask<int>(Math.Max(count, 0));
            }

            if (_muted)
            {
                throw new IOException("The guest of this channel is being killed.");
            }

            _read.Reset();
            _target = buffer;
            _waiting = true;
            // Under the lock, so that nobody completes the read before the registration is known; a token that has just fired calls back here and now.
            _cancellation = cancellationToken.UnsafeRegister(static (state, token) => ((GuestChannel)state!).Cancel(token), this);
            return new ValueTask<int>(this, _read.Version);
        }
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var sent = Send(buffer.Span);
        return sent == buffer.Length ? ValueTask.CompletedTask : new ValueTask(WriteRestAsync(buffer[sent..], cancellationToken));
    }

    /// <summary>For whoever is about to kill the guest and has no use for being told of its end: unless somebody waits, nothing is listened for any more, and a read that would have to wait fails.</summary>
    public void Mute()
    {
        lock (_lock)
        {
            if (!_muted && !_closed && !_waiting && _room is null)
            {
                _muted = true;
                _poller.Remove(_descriptor, _token);
            }
        }
    }

    void IPolled.OnReady(long token, uint events)
    {
        int count;
        TaskCompletionSource? room = null;
        IOException? broken = null;
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            _readable = true;
            _ended |= (events & Libc.EpollEnd) != 0;
            if ((events & (Libc.EpollOut | Libc.EpollEnd)) != 0)
            {
                (room, _room) = (_room, null);
            }

            count = _waiting ? TryReceiveLocked(out broken) : -1;
            if (count >= 0 || broken is not null)
            {
                _waiting = false;
                _target = default;
            }
        }

        room?.TrySetResult();
        if (count >= 0 || broken is not null)
        {
            Complete(count, broken);
        }
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("A channel is read asynchronously.");

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException("A channel is written asynchronously.");

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    int IValueTaskSource<int>.GetResult(short token) => _read.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _read.GetStatus(token);

    void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _read.OnCompleted(continuation, state, token, flags);

    protected override void Dispose(bool disposing)
    {
        bool waited;
        TaskCompletionSource? room;
        lock (_lock)
        {
            if (_closed)
            {
                return;
            }

            _closed = true;
            (waited, _waiting, _target) = (_waiting, false, default);
            (room, _room) = (_room, null);
            if (!_muted)
            {
                _poller.Remove(_descriptor, _token);
            }

            Libc.Close(_descriptor);
        }

        room?.TrySetResult();
        if (waited)
        {
            Complete(-1, new ObjectDisposedException(nameof(GuestChannel)));
        }

        base.Dispose(disposing);
    }

    private async Task WriteRestAsync(ReadOnlyMemory<byte> rest, CancellationToken cancellationToken)
    {
        while (!rest.IsEmpty)
        {
            Task room;
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                _room = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                room = _room.Task;
                // Tells at once when there is room by now.
                _poller.Change(_descriptor, _token, ForReading | Libc.EpollOut);
            }

            await room.WaitAsync(cancellationToken).ConfigureAwait(false);
            rest = rest[Send(rest.Span)..];
        }

        lock (_lock)
        {
            if (!_closed)
            {
                _poller.Change(_descriptor, _token, ForReading);
            }
        }
    }

    /// <summary>How many bytes were sent: as many as there was room for.</summary>
    private int Send(ReadOnlySpan<byte> bytes)
    {
        // The lock keeps the descriptor from being closed, and its number reused, while it is in use.
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_closed, this);
            var sent = 0;
            while (sent < bytes.Length && Libc.Send(_descriptor, bytes[sent..], wait: false) is >= 0 and var count)
            {
                sent += count;
            }

            return sent;
        }
    }

    /// <summary>-1 when nothing is there; then an event will tell.</summary>
    private int ReceiveLocked(Span<byte> buffer)
    {
        var count = Libc.ReceiveAvailable(_descriptor, buffer);
        // Fewer than there was room for: all that had come. What comes later is another event.
        _readable = count == buffer.Length;
        return count;
    }

    private int TryReceiveLocked(out IOException? broken)
    {
        broken = null;
        try
        {
            return ReceiveLocked(_target.Span);
        }
        catch (IOException exception)
        {
            broken = exception;
            return -1;
        }
    }

    private void Cancel(CancellationToken token)
    {
        lock (_lock)
        {
            if (!_waiting)
            {
                return;
            }

            _waiting = false;
            _target = default;
        }

        _read.SetException(new OperationCanceledException(token));
    }

    /// <summary>By whoever ended the waiting.</summary>
    private void Complete(int count, Exception? exception)
    {
        // A cancellation that runs right now finds nothing to cancel; afterwards none can reach into the next read.
        _cancellation.Dispose();
        if (exception is null)
        {
            _read.SetResult(count);
        }
        else
        {
            _read.SetException(exception);
        }
    }
}
