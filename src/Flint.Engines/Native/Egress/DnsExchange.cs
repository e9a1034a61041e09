using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace Flint.Engines.Native.Egress;

/// <summary>One question and its answer between this host and one of its resolvers. Each has a socket, and so a random port, and a random id of its own.</summary>
internal static class DnsExchange
{
    /// <summary>Asks over UDP. Fills in the answer with the question's own id and returns its length; throws <see cref="SocketException"/>.</summary>
    /// <param name="resolver">Who is asked.</param>
    /// <param name="question">Checked by <see cref="DnsMessage.IsQuestion"/>.</param>
    /// <param name="answer">Its last byte stays free: an answer that reaches it is longer than the room, and becomes "ask again over TCP".</param>
    /// <param name="cancellationToken">The limit of time.</param>
    public static async Task<int> AskUdpAsync(
        IPEndPoint resolver, ReadOnlyMemory<byte> question, Memory<byte> answer, CancellationToken cancellationToken)
    {
        using var socket = new Socket(resolver.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(resolver, cancellationToken); // from here on the kernel lets nobody else answer
        var (sent, id) = Prepare(question.Span, 0);
        await socket.SendAsync(sent, cancellationToken);
        while (true)
        {
            var length = await socket.ReceiveAsync(answer, cancellationToken);
            if (DnsMessage.Answers(answer.Span[..length], question.Span, id))
            {
                DnsMessage.SetId(answer.Span, DnsMessage.Id(question.Span));
                return length == answer.Length ? DnsMessage.WriteTruncated(answer.Span) : length;
            }
        }
    }

    /// <summary>As <see cref="AskUdpAsync"/> over TCP; the answer begins with its length, ready to be sent on.</summary>
    public static async Task<byte[]> AskTcpAsync(IPEndPoint resolver, ReadOnlyMemory<byte> question, CancellationToken cancellationToken)
    {
        using var socket = new Socket(resolver.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(resolver, cancellationToken);
        await using var stream = new NetworkStream(socket);
        var (sent, id) = Prepare(question.Span, sizeof(ushort));
        BinaryPrimitives.WriteUInt16BigEndian(sent, (ushort)question.Length);
        await stream.WriteAsync(sent, cancellationToken);
        var prefix = new byte[sizeof(ushort)];
        await stream.ReadExactlyAsync(prefix, cancellationToken);
        var answer = new byte[sizeof(ushort) + BinaryPrimitives.ReadUInt16BigEndian(prefix)];
        prefix.CopyTo(answer, 0);
        await stream.ReadExactlyAsync(answer.AsMemory(sizeof(ushort)), cancellationToken);
        if (!DnsMessage.Answers(answer.AsSpan(sizeof(ushort)), question.Span, id))
        {
            throw new InvalidDataException($"{resolver} answered another question.");
        }

        DnsMessage.SetId(answer.AsSpan(sizeof(ushort)), DnsMessage.Id(question.Span));
        return answer;
    }

    private static (byte[] Sent, ushort Id) Prepare(ReadOnlySpan<byte> question, int offset)
    {
        var sent = new byte[offset + question.Length];
        question.CopyTo(sent.AsSpan(offset));
        var id = (ushort)RandomNumberGenerator.GetInt32(ushort.MaxValue + 1);
        DnsMessage.SetId(sent.AsSpan(offset), id);
        return (sent, id);
    }
}
