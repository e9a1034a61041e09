using System.Buffers;

namespace Flint.Runtime.Guest;

/// <summary>A pooled array that grows; held only between Begin and End.</summary>
internal sealed class GrowingBuffer : IBufferWriter<byte>
{
    private const int First = 4 * 1024;
    private byte[] _bytes = [];

    public int Length { get; private set; }

    public Memory<byte> Written => _bytes.AsMemory(0, Length);

    /// <summary>Starts over, leaving <paramref name="reserved"/> bytes to be filled in later.</summary>
    public void Begin(int reserved)
    {
        _bytes = ArrayPool<byte>.Shared.Rent(First);
        Length = reserved;
    }

    public void End()
    {
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = [];
        Length = 0;
    }

    public void Write(ReadOnlySpan<byte> bytes)
    {
        Ensure(bytes.Length);
        bytes.CopyTo(_bytes.AsSpan(Length));
        Length += bytes.Length;
    }

    public void Advance(int count) => Length += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Ensure(Math.Max(sizeHint, 1));
        return _bytes.AsMemory(Length);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    private void Ensure(int more)
    {
        if (_bytes.Length - Length >= more)
        {
            return;
        }
        byte[] larger = ArrayPool<byte>.Shared.Rent(Math.Max(_bytes.Length * 2, Length + more));
        _bytes.AsSpan(0, Length).CopyTo(larger);
        ArrayPool<byte>.Shared.Return(_bytes);
        _bytes = larger;
    }
}
