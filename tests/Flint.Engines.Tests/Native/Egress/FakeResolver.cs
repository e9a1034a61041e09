using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;

namespace Flint.Engines.Tests.Native.Egress;

/// <summary>A DNS server on loopback, TCP and UDP on one port, whose answers the test writes.</summary>
internal sealed class FakeResolver : IDisposable
{
    private readonly Socket _udp;
    private readonly Socket _tcp;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Channel<(byte[] Message, EndPoint From)> _asked = Channel.CreateUnbounded<(byte[], EndPoint)>();
    private readonly Task _udpLoop;
    private readonly Task _tcpLoop;

    public FakeResolver()
    {
        (_udp, _tcp) = BindBoth();
        Address = (IPEndPoint)_udp.LocalEndPoint!;
        _tcp.Listen();
        _udpLoop = ServeUdpAsync();
        _tcpLoop = ServeTcpAsync();
    }

    // UDP's free port may be taken over TCP.
    private static (Socket Udp, Socket Tcp) BindBoth()
    {
        for (var attempt = 1; ; attempt++)
        {
            var udp = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            var tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            udp.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            try
            {
                tcp.Bind(udp.LocalEndPoint!);
                return (udp, tcp);
            }
            catch (SocketException) when (attempt < 20)
            {
                udp.Dispose();
                tcp.Dispose();
            }
        }
    }

    public IPEndPoint Address { get; }

    /// <summary>Every question that came over UDP, as it came.</summary>
    public ChannelReader<(byte[] Message, EndPoint From)> Asked => _asked.Reader;

    /// <summary>What is sent back over UDP for one question, in this order.</summary>
    public Func<byte[], IEnumerable<byte[]>> Answer { get; set; } = static question => [Reply(question)];

    /// <summary>What is sent back over TCP.</summary>
    public Func<byte[], byte[]> AnswerTcp { get; set; } = static question => Reply(question);

    public void Send(byte[] message, EndPoint to) => _udp.SendTo(message, to);

    public void Dispose()
    {
        _stopping.Cancel();
        _udp.Dispose();
        _tcp.Dispose();
        Task.WhenAll(_udpLoop, _tcpLoop).Wait();
        _stopping.Dispose();
    }

    /// <summary>A question for a name's address.</summary>
    public static byte[] Question(string name, ushort id = 7, ushort type = 1)
    {
        var bytes = new List<byte> { (byte)(id >> 8), (byte)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
        foreach (var label in name.Split('.'))
        {
            bytes.Add((byte)label.Length);
            bytes.AddRange(Encoding.ASCII.GetBytes(label));
        }

        bytes.AddRange([0, (byte)(type >> 8), (byte)type, 0, 1]);
        return [.. bytes];
    }

    /// <summary>The question's own bytes marked as an answer, with something behind them.</summary>
    public static byte[] Reply(byte[] question, int more = 16)
    {
        byte[] answer = [.. question, .. Enumerable.Repeat((byte)9, more)];
        answer[2] |= 0x80;
        return answer;
    }

    private async Task ServeUdpAsync()
    {
        var buffer = new byte[65536];
        try
        {
            while (true)
            {
                var received = await _udp.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stopping.Token);
                var question = buffer[..received.ReceivedBytes];
                _asked.Writer.TryWrite((question, received.RemoteEndPoint));
                foreach (var answer in Answer(question))
                {
                    await _udp.SendToAsync(answer, received.RemoteEndPoint, _stopping.Token);
                }
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException or SocketException)
        {
        }
    }

    private async Task ServeTcpAsync()
    {
        try
        {
            while (true)
            {
                using var connection = await _tcp.AcceptAsync(_stopping.Token);
                await using var stream = new NetworkStream(connection);
                var prefix = new byte[2];
                await stream.ReadExactlyAsync(prefix, _stopping.Token);
                var question = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
                await stream.ReadExactlyAsync(question, _stopping.Token);
                var answer = AnswerTcp(question);
                BinaryPrimitives.WriteUInt16BigEndian(prefix, (ushort)answer.Length);
                await stream.WriteAsync((byte[])[.. prefix, .. answer], _stopping.Token);
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or ObjectDisposedException or SocketException or IOException)
        {
        }
    }
}
