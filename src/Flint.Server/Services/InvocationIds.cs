namespace Flint.Server.Services;

/// <summary>
/// Ids of invocations: UUID version 7 (RFC 9562, section 6.2, method 1) with a counter in the twelve bits after the milliseconds, so that the ids of one
/// server sort in the order in which they were made; history is listed by them. Thread-safe.
/// </summary>
internal sealed class InvocationIds
{
    private const int CounterBits = 12;

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
        Guid.CreateVersion7(DateTimeOffset.FromUnixTimeMilliseconds(next >> CounterBits)).TryWriteBytes(bytes, bigEndian: true, out _);
        bytes[6] = (byte)(0x70 | ((next >> 8) & 0x0F));
        bytes[7] = (byte)next;
        return new Guid(bytes, bigEndian: true).ToString("d");
    }
}
