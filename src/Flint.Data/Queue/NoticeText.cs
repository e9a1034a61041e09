using System.Buffers;
using System.Buffers.Text;
using System.Text;
using Flint.Data.Invocations;

namespace Flint.Data.Queue;

/// <summary>
/// A notice as it goes between servers: the sender (22 characters), one letter for the kind, and the ids, 22 characters each, or a star for many. Servers of different versions
/// hear each other: what one does not know it passes over.
/// </summary>
internal static class NoticeText
{
    private const int IdLength = 22;
    private const char Proof = 'p';

    /// <summary>A name that no other server has.</summary>
    public static string NewOrigin() => Short(Guid.NewGuid());

    /// <summary>Ids that are none of an invocation make it a notice of many.</summary>
    public static string Of(string origin, NoticeMessage message)
    {
        var text = new StringBuilder(origin, IdLength + 1 + (IdLength * message.Ids.Count)).Append(Letter(message.Kind));
        var start = text.Length;
        foreach (var id in message.Many ? ["*"] : message.Ids)
        {
            if (!InvocationId.TryParse(id, out var key))
            {
                text.Length = start;
                return text.Append('*').ToString();
            }

            text.Append(Short(key));
        }

        return text.ToString();
    }

    /// <summary>What a server sends to itself.</summary>
    public static string OfProof(string origin, string nonce) => $"{origin}{Proof}{nonce}";

    /// <summary>The nonce of a proof that <paramref name="origin"/> sent; null for anything else.</summary>
    public static string? ProofIn(string text, string origin) =>
        text.Length > IdLength && text[IdLength] == Proof && text.StartsWith(origin, StringComparison.Ordinal) ? text[(IdLength + 1)..] : null;

    /// <summary>Null for what <paramref name="origin"/> sent itself, or this version does not know.</summary>
    public static NoticeMessage? Parse(string text, string origin)
    {
        if (text.Length <= IdLength || text.StartsWith(origin, StringComparison.Ordinal) || Kind(text[IdLength]) is not { } kind)
        {
            return null;
        }

        var rest = text.AsSpan(IdLength + 1);
        if (rest is "*")
        {
            return new NoticeMessage(kind, Many: true, []);
        }

        var ids = new List<string>(rest.Length / IdLength);
        for (; rest.Length >= IdLength; rest = rest[IdLength..])
        {
            if (Long(rest[..IdLength]) is { } id)
            {
                ids.Add(id);
            }
        }

        return new NoticeMessage(kind, Many: false, ids);
    }

    private static char Letter(NoticeKinds kind) => kind switch
    {
        NoticeKinds.Work => 'w',
        NoticeKinds.Finished => 'f',
        NoticeKinds.Cancelled => 'c',
        NoticeKinds.Changed => 'h',
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "One kind is sent at a time."),
    };

    private static NoticeKinds? Kind(char letter) => letter switch
    {
        'w' => NoticeKinds.Work,
        'f' => NoticeKinds.Finished,
        'c' => NoticeKinds.Cancelled,
        'h' => NoticeKinds.Changed,
        _ => null,
    };

    private static string Short(Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes, bigEndian: true, out _);
        return Base64Url.EncodeToString(bytes);
    }

    private static string? Long(ReadOnlySpan<char> text)
    {
        Span<byte> bytes = stackalloc byte[16];
        return Base64Url.DecodeFromChars(text, bytes, out _, out var written) == OperationStatus.Done && written == bytes.Length
            ? new Guid(bytes, bigEndian: true).ToString("D")
            : null;
    }
}
