using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Flint.Server.Services;

/// <summary>
/// Ids of invocations: UUID version 7 (RFC 9562, section 6.2, method 1) with a counter in the twelve bits after the milliseconds, so that the ids of one
/// server sort in the order in which they were made; history is listed by them. Thread-safe.
/// </summary>
internal sealed class InvocationIds
{
    private const int CounterBits = 12;

    private readonly Lock _lock = new();

    /// <summary>For several ids, since the generator's price is per call. Each byte is used once; under the lock.</summary>
    private readonly byte[] _random = new byte[512];
    private int _randomLeft;

    /// <summary>Milliseconds and counter of the last id, in one number.</summary>
    private long _last;

    public string Next(DateTimeOffset now)
    {
        var fresh = now.ToUnixTimeMilliseconds() << CounterBits;
        long last, next;
        do
        {
            last = Volatile.Read(ref _last);
            // A clock that stands or goes back, and a counter that is full, go on from the last one.
            next = Math.Max(fresh, last + 1);
        }
        while (Interlocked.CompareExchange(ref _last, next, last) != last);

        Span<byte> bytes = stackalloc byte[16];
        BinaryPrimitives.WriteInt64BigEndian(bytes, next >> CounterBits << 16);
        bytes[6] = (byte)(0x70 | ((next >> 8) & 0x0F));
        bytes[7] = (byte)next;
        TakeRandom(bytes[8..]);
        bytes[8] = (byte)(0x80 | (bytes[8] & 0x3F));
        return new Guid(bytes, bigEndian: true).ToString("d");
    }

    private void TakeRandom(Span<byte> destination)
    {
        lock (_lock)
        {
            if (_randomLeft < destination.Length)
            {
                RandomNumberGenerator.Fill(_random);
                _randomLeft = _random.Length;
            }

            _random.AsSpan(_random.Length - _randomLeft, destination.Length).CopyTo(destination);
            _randomLeft -= destination.Length;
        }
    }
}
