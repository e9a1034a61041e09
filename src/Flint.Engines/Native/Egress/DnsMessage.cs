using System.Buffers.Binary;

namespace Flint.Engines.Native.Egress;

/// <summary>The little of a DNS message (RFC 1035) that a forwarder has to read: its header and its one question. The rest is passed on unread.</summary>
internal static class DnsMessage
{
    public const int HeaderBytes = 12;
    public const int ServerFailure = 2;
    public const int Refused = 5;
    private const int MaxNameBytes = 255;
    private const int MaxLabelBytes = 63;
    private const int ResponseFlag = 0x8000;
    private const int OpcodeMask = 0x7800;
    private const int TruncatedFlag = 0x0200;
    private const int RecursionDesiredFlag = 0x0100;
    private const int RecursionAvailableFlag = 0x0080;
    private const int IncrementalTransfer = 251;
    private const int Transfer = 252;

    public static ushort Id(ReadOnlySpan<byte> message) => BinaryPrimitives.ReadUInt16BigEndian(message);

    public static void SetId(Span<byte> message, ushort id) => BinaryPrimitives.WriteUInt16BigEndian(message, id);

    /// <summary>Whether this is a plain question: one name, nothing answered yet.</summary>
    public static bool IsQuestion(ReadOnlySpan<byte> message)
    {
        if (message.Length < HeaderBytes)
        {
            return false;
        }

        var flags = Word(message, 2);
        return (flags & (ResponseFlag | OpcodeMask)) == 0
            && Word(message, 4) == 1 && Word(message, 6) == 0 && Word(message, 8) == 0
            && QuestionEnd(message) > 0;
    }

    /// <summary>Whether whole zones are asked for, which is nothing for a forwarder. The message is a question.</summary>
    public static bool IsTransfer(ReadOnlySpan<byte> question) =>
        Word(question, QuestionEnd(question) - 4) is IncrementalTransfer or Transfer;

    /// <summary>Whether a message answers the question that was sent with this id: the check that keeps others from answering instead.</summary>
    public static bool Answers(ReadOnlySpan<byte> message, ReadOnlySpan<byte> question, ushort id)
    {
        if (message.Length < HeaderBytes || Id(message) != id || (Word(message, 2) & (ResponseFlag | OpcodeMask)) != ResponseFlag || Word(message, 4) != 1)
        {
            return false;
        }

        var end = QuestionEnd(question);
        return message.Length >= end && EqualNames(message[HeaderBytes..end], question[HeaderBytes..end]);
    }

    /// <summary>Makes the answer "this went wrong" out of a question, in place. Returns its length.</summary>
    public static int WriteError(Span<byte> question, int code) =>
        WriteEmptyAnswer(question, (Word(question, 2) & RecursionDesiredFlag) | ResponseFlag | RecursionAvailableFlag | code);

    /// <summary>Makes the answer "ask again over TCP" out of an answer, in place. Returns its length.</summary>
    public static int WriteTruncated(Span<byte> answer) => WriteEmptyAnswer(answer, Word(answer, 2) | TruncatedFlag);

    private static int WriteEmptyAnswer(Span<byte> message, int flags)
    {
        BinaryPrimitives.WriteUInt16BigEndian(message[2..], (ushort)flags);
        message[6..HeaderBytes].Clear();
        return QuestionEnd(message);
    }

    /// <summary>Where the question ends; -1 when there is none that can be read. Compression has no place in a first name.</summary>
    private static int QuestionEnd(ReadOnlySpan<byte> message)
    {
        var at = HeaderBytes;
        while (at < message.Length && message[at] is > 0 and <= MaxLabelBytes)
        {
            at += message[at] + 1;
        }

        var end = at + 1 + 4;
        return at < message.Length && message[at] == 0 && at + 1 - HeaderBytes <= MaxNameBytes && end <= message.Length ? end : -1;
    }

    private static bool EqualNames(ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        for (var i = 0; i < left.Length; i++)
        {
            if (Lower(left[i]) != Lower(right[i]))
            {
                return false;
            }
        }

        return true;
    }

    private static byte Lower(byte value) => value is >= (byte)'A' and <= (byte)'Z' ? (byte)(value | 0x20) : value;

    private static int Word(ReadOnlySpan<byte> message, int at) => BinaryPrimitives.ReadUInt16BigEndian(message[at..]);
}
