namespace Flint.Runtime.Guest;

/// <summary>Cuts one raw stream into lines, keeping an unfinished one until its rest comes. A line longer than the bound is cut there.</summary>
internal sealed class RawLineCutter
{
    /// <summary>As long as one LOG frame may be.</summary>
    private const int MaxLine = 64 * 1024;

    private byte[] _pending = [];
    private int _length;
    /// <summary>Bytes at the start of the pending ones that the last call has handed out.</summary>
    private int _handedOut;

    /// <summary>Takes the next line from <paramref name="bytes"/>, valid until the next call; false when all of them were consumed.</summary>
    public bool TryCut(ref ReadOnlySpan<byte> bytes, out ReadOnlySpan<byte> line)
    {
        Forget();
        line = default;
        int room = MaxLine - _length;
        int end = bytes[..Math.Min(bytes.Length, room + 1)].IndexOf((byte)'\n');
        if (end >= 0 && _length == 0)
        {
            line = bytes[..end];
            bytes = bytes[(end + 1)..];
            return true;
        }
        if (end < 0 && bytes.Length <= room)
        {
            Keep(bytes);
            bytes = default;
            return false;
        }
        Keep(bytes[..(end >= 0 ? end : room)]);
        bytes = bytes[(end >= 0 ? end + 1 : room)..];
        _handedOut = end >= 0 ? _length : _length - PartialCharacter(_pending.AsSpan(0, _length));
        line = _pending.AsSpan(0, _handedOut);
        return true;
    }

    public bool TryFlush(out ReadOnlySpan<byte> line)
    {
        Forget();
        line = _pending.AsSpan(0, _length);
        _handedOut = _length;
        return _length > 0;
    }

    private void Forget()
    {
        _pending.AsSpan(_handedOut, _length - _handedOut).CopyTo(_pending);
        _length -= _handedOut;
        _handedOut = 0;
    }

    private void Keep(ReadOnlySpan<byte> bytes)
    {
        if (_pending.Length < _length + bytes.Length)
        {
            Array.Resize(ref _pending, Math.Max(_length + bytes.Length, Math.Min(MaxLine, _pending.Length * 2)));
        }
        bytes.CopyTo(_pending.AsSpan(_length));
        _length += bytes.Length;
    }

    /// <summary>How many bytes at the end begin a character that goes on beyond it, so that a cut does not halve it.</summary>
    private static int PartialCharacter(ReadOnlySpan<byte> bytes)
    {
        for (int back = 1; back <= Math.Min(3, bytes.Length); back++)
        {
            byte b = bytes[^back];
            if (b < 0x80)
            {
                return 0;
            }
            if (b >= 0xc0)
            {
                int size = b >= 0xf0 ? 4 : b >= 0xe0 ? 3 : 2;
                return size > back && back < bytes.Length ? back : 0;
            }
        }
        return 0;
    }
}
