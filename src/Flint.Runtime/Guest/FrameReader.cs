using System.Buffers;
using System.Runtime.CompilerServices;

namespace Flint.Runtime.Guest;

/// <summary>One frame. The body is valid until the reader is used again, unless <see cref="Owned"/>.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Body">Empty for an oversized result, whose body is never read.</param>
/// <param name="Owned">The body has an array of its own, which the receiver may keep.</param>
/// <param name="Oversized">A RESULT over the limit; nothing after it can be read.</param>
internal readonly record struct Frame(FrameKind Kind, ReadOnlyMemory<byte> Body, bool Owned, bool Oversized);

/// <summary>
/// Cuts a guest's byte stream into frames. Holds a pooled buffer only between <see cref="Begin"/> and <see cref="End"/>, or while it keeps bytes
/// for the next call, so that an idle connection costs nothing. Checks every header before it makes room for a body. Not thread-safe.
/// </summary>
internal sealed class FrameReader(Stream stream, GuestLimits limits)
{
    private const int SmallBuffer = 8 * 1024;

    private byte[] _buffer = [];
    private int _start;
    private int _end;
    /// <summary>A large RESULT's own array, filled as bytes come.</summary>
    private byte[]? _large;
    private int _largeFilled;

    public void Begin()
    {
        if (_buffer.Length == 0)
        {
            _buffer = ArrayPool<byte>.Shared.Rent(SmallBuffer);
        }
    }

    public void End()
    {
        if (_start == _end && _buffer.Length != 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = [];
            _start = _end = 0;
        }
    }

    /// <summary>True when bytes have come that cannot begin a LOG frame, the only one legal between invocations.</summary>
    public bool HasIllegalRest => _end - _start >= 2 && _buffer[_start + 1] != (byte)FrameKind.Log;

    /// <summary>Takes the next frame if it has come whole; otherwise makes room for it and returns false.</summary>
    public bool TryRead(FrameKinds legal, out Frame frame)
    {
        if (_large is not null)
        {
            return TryFinishLarge(out frame);
        }
        frame = default;
        if (_end - _start < FrameHeader.Size)
        {
            MakeRoom(FrameHeader.Size);
            return false;
        }
        FrameHeader header = FrameHeader.Parse(_buffer.AsSpan(_start, FrameHeader.Size), legal, limits);
        if (header.IsOversizedResult(limits))
        {
            frame = new Frame(header.Kind, default, Owned: false, Oversized: true);
            return true;
        }
        int total = FrameHeader.Size + header.Length;
        if (_end - _start >= total)
        {
            frame = new Frame(header.Kind, _buffer.AsMemory(_start + FrameHeader.Size, header.Length), Owned: false, Oversized: false);
            _start += total;
            return true;
        }
        if (header.Kind == FrameKind.Result && total > SmallBuffer)
        {
            BeginLarge(header.Length);
        }
        else
        {
            MakeRoom(total);
        }
        return false;
    }

    /// <summary>Waits for more bytes. Throws <see cref="GuestClosedException"/> at the stream's end.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask FillAsync(CancellationToken cancellationToken)
    {
        Memory<byte> target = _large is null ? _buffer.AsMemory(_end) : _large.AsMemory(_largeFilled);
        int count;
        try
        {
            count = await stream.ReadAsync(target, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            throw new GuestClosedException("the guest's channel broke", e);
        }
        if (count == 0)
        {
            throw new GuestClosedException("the guest closed its channel");
        }
        if (_large is null)
        {
            _end += count;
        }
        else
        {
            _largeFilled += count;
        }
    }

    private void BeginLarge(int length)
    {
        _large = GC.AllocateUninitializedArray<byte>(length);
        int have = _end - _start - FrameHeader.Size;
        _buffer.AsSpan(_start + FrameHeader.Size, have).CopyTo(_large);
        _largeFilled = have;
        _start = _end = 0;
    }

    private bool TryFinishLarge(out Frame frame)
    {
        if (_largeFilled < _large!.Length)
        {
            frame = default;
            return false;
        }
        frame = new Frame(FrameKind.Result, _large, Owned: true, Oversized: false);
        _large = null;
        return true;
    }

    /// <summary>Ensures that <paramref name="total"/> bytes fit from the first unread one, and at least one more can be read.</summary>
    private void MakeRoom(int total)
    {
        int have = _end - _start;
        if (_buffer.Length >= total)
        {
            if (_start != 0 && (have == 0 || _buffer.Length - _start < total))
            {
                _buffer.AsSpan(_start, have).CopyTo(_buffer);
                (_start, _end) = (0, have);
            }
            return;
        }
        byte[] larger = ArrayPool<byte>.Shared.Rent(total);
        _buffer.AsSpan(_start, have).CopyTo(larger);
        if (_buffer.Length != 0)
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }
        (_buffer, _start, _end) = (larger, 0, have);
    }
}
