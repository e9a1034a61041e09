using System.Buffers.Binary;

namespace Flint.Runtime.Guest;

/// <summary>The eight bytes before every frame's body (guest/PROTOCOL.md).</summary>
internal readonly record struct FrameHeader(FrameKind Kind, int Length)
{
    public const int Size = 8;
    public const int NonceSize = 16;
    private const byte Version = 1;

    /// <summary>
    /// Reads a header that a guest sent and checks everything in it. A RESULT over the limit is let through, for it is the function's error;
    /// any other violation throws <see cref="GuestProtocolException"/>.
    /// </summary>
    public static FrameHeader Parse(ReadOnlySpan<byte> bytes, FrameKinds legal, GuestLimits limits)
    {
        if (bytes[0] != Version)
        {
            throw new GuestProtocolException($"frame version {bytes[0]}, expected {Version}");
        }
        FrameKind kind = (FrameKind)bytes[1];
        if (kind is < FrameKind.Ready or > FrameKind.Error)
        {
            throw new GuestProtocolException($"unknown frame kind 0x{bytes[1]:x2}");
        }
        if ((bytes[2] | bytes[3]) != 0)
        {
            throw new GuestProtocolException("reserved header bytes are not zero");
        }
        if (((int)legal & (1 << (bytes[1] & 0x7f))) == 0)
        {
            throw new GuestProtocolException($"frame {kind} is not legal now");
        }
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]);
        (int least, int most) = Bounds(kind, limits);
        if (length < least || (length > most && kind != FrameKind.Result))
        {
            throw new GuestProtocolException($"frame {kind} has {length} bytes, allowed are {least} to {most}");
        }
        return new FrameHeader(kind, (int)Math.Min(length, int.MaxValue));
    }

    public bool IsOversizedResult(GuestLimits limits) => Kind == FrameKind.Result && Length > NonceSize + limits.MaxResultBytes;

    public static void Write(Span<byte> destination, FrameKind kind, int length)
    {
        destination[0] = Version;
        destination[1] = (byte)kind;
        destination[2] = 0;
        destination[3] = 0;
        BinaryPrimitives.WriteUInt32LittleEndian(destination[4..], (uint)length);
    }

    private static (int Least, int Most) Bounds(FrameKind kind, GuestLimits limits) => kind switch
    {
        FrameKind.Ready => (2, 1024),
        FrameKind.InitError => (2, limits.MaxErrorBytes),
        FrameKind.Log => (1, limits.MaxLogFrameBytes),
        FrameKind.Result => (NonceSize, NonceSize + limits.MaxResultBytes),
        FrameKind.Error => (NonceSize + 2, limits.MaxErrorBytes),
        _ => (0, 0),
    };
}
