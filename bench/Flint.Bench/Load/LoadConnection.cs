using System.Buffers.Text;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Flint.Bench.Load;

/// <summary>One keep-alive HTTP/1.1 connection with at most one request under way; never blocks. For one thread.</summary>
internal sealed class LoadConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly byte[] _request;
    private readonly byte[] _response = new byte[64 * 1024];
    private int _received;
    private int _bodyStart;
    private int _bodyLength;

    public LoadConnection(IPEndPoint target, int requestLength)
    {
        _request = new byte[requestLength];
        _socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        _socket.Connect(target);
        _socket.Blocking = false;
    }

    public int Descriptor => (int)_socket.Handle;
    public long Sequence { get; private set; }
    public long SentAt { get; private set; }
    public ReadOnlySpan<byte> Body => _response.AsSpan(_bodyStart, _bodyLength);

    public void Send(HttpWorkload workload, long sequence, long now)
    {
        workload.WriteRequest(_request, sequence);
        Sequence = sequence;
        SentAt = now;
        _received = 0;
        _bodyStart = 0;
        int sent = _socket.Send(_request, SocketFlags.None, out SocketError error);
        if (error != SocketError.Success || sent != _request.Length)
        {
            throw new BenchException($"a request could not be sent: {error}, {sent} of {_request.Length} bytes");
        }
    }

    /// <summary>Takes what has come; true when the response is whole. Throws <see cref="BenchException"/> when it is none, or not a 200.</summary>
    public bool Receive()
    {
        int count = _socket.Receive(_response.AsSpan(_received), SocketFlags.None, out SocketError error);
        if (error == SocketError.WouldBlock)
        {
            return false;
        }
        if (error != SocketError.Success || count == 0)
        {
            throw new BenchException($"the server closed a connection: {error} after {Text(_received)}");
        }
        _received += count;
        ReadOnlySpan<byte> all = _response.AsSpan(0, _received);
        if (_bodyStart == 0)
        {
            int end = all.IndexOf("\r\n\r\n"u8);
            if (end < 0)
            {
                return false;
            }
            ReadHead(all[..(end + 2)]);
            _bodyStart = end + 4;
        }
        if (_bodyLength >= 0)
        {
            return _received == _bodyStart + _bodyLength;
        }
        // One response is under way, so the last chunk's mark can only be at the end.
        if (!all[_bodyStart..].EndsWith("\r\n0\r\n\r\n"u8))
        {
            return false;
        }
        _bodyLength = _received - _bodyStart;
        return true;
    }

    private void ReadHead(ReadOnlySpan<byte> head)
    {
        if (!head.StartsWith("HTTP/1.1 200 "u8))
        {
            throw new BenchException($"not answered with 200: {Text(_received)}");
        }
        int at = head.IndexOf("Content-Length: "u8);
        if (at < 0)
        {
            at = head.IndexOf("content-length: "u8);
        }
        if (at < 0)
        {
            _bodyLength = -1;
        }
        else if (!Utf8Parser.TryParse(head[(at + 16)..], out _bodyLength, out _) || _bodyLength > _response.Length - head.Length - 2)
        {
            throw new BenchException($"a response of unexpected size: {Text(_received)}");
        }
    }

    public string BodyText => Encoding.UTF8.GetString(Body);

    public string Text(int length) => Encoding.UTF8.GetString(_response, 0, Math.Min(length, 800));

    public void Dispose() => _socket.Dispose();
}
