using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Flint.Server.Queue.Jobs;

/// <summary>What a job asks for, as a hash: a repeated submission is told from another one under the same idempotency key.</summary>
internal static class JobFingerprint
{
    /// <summary>
    /// SHA-256 over settings, arguments, code, tags and times as they were given, each with its length. Which engine and runtime they came to does not count: a host may learn a newer
    /// one between a submission and its repetition.
    /// </summary>
    public static byte[] Of(JobRequest request, QueuedWork work, ReadOnlySpan<byte> source, IReadOnlyList<string> tags)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        // What it is due at counts as it was given, not as the clock made of it.
        var asked = work with { Job = work.Job! with { Engine = "", Runtime = request.Language ?? "javascript" }, Retry = work.Retry with { MaxAgeMs = 0 } };
        Append(hash, asked.ToJson());
        Append(hash, request.Args is { } args ? args.Span : "[]"u8);
        Append(hash, source);
        Append(hash, request.DelayMs?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "");
        Append(hash, request.RunAt?.UtcTicks.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "");
        foreach (var tag in tags)
        {
            Append(hash, tag);
        }

        return hash.GetHashAndReset();
    }

    private static void Append(IncrementalHash hash, string text) => Append(hash, Encoding.UTF8.GetBytes(text));

    private static void Append(IncrementalHash hash, ReadOnlySpan<byte> bytes)
    {
        Span<byte> length = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(length, bytes.Length);
        hash.AppendData(length);
        hash.AppendData(bytes);
    }
}
