using System.Buffers.Binary;

namespace Flint.Data.Invocations;

/// <summary>Invocation ids: UUIDs version 7, whose first 48 bits are unix milliseconds.</summary>
internal static class InvocationId
{
    // How far an id's time may be from its row's creation time: they are taken a moment apart.
    private static readonly TimeSpan Slack = TimeSpan.FromMinutes(1);

    /// <summary>False for anything but the lower-case form with dashes.</summary>
    public static bool TryParse(string text, out Guid id) => Guid.TryParseExact(text, "D", out id) && !text.AsSpan().ContainsAnyInRange('A', 'F');

    public static Guid Parse(string text, string name) =>
        TryParse(text, out var id) ? id : throw new ArgumentException($"{name} is not a UUID in lower-case with dashes.", name);

    /// <summary>The least id of a row created at <paramref name="time"/>.</summary>
    public static Guid AtLeast(DateTimeOffset time) => Least(time.ToUnixTimeMilliseconds() - (long)Slack.TotalMilliseconds);

    /// <summary>An id above those of all rows created before <paramref name="time"/>.</summary>
    public static Guid Above(DateTimeOffset time) => Least(time.ToUnixTimeMilliseconds() + (long)Slack.TotalMilliseconds);

    private static Guid Least(long milliseconds)
    {
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        BinaryPrimitives.WriteInt64BigEndian(bytes, Math.Clamp(milliseconds, 0, (1L << 48) - 1) << 16);
        return new Guid(bytes, bigEndian: true);
    }
}
