using System.Buffers.Binary;
using System.Collections.Concurrent;
using System.Net.Sockets;

namespace Flint.Bench.Peers;

/// <summary>Connections to Node over one unix socket, one request at a time on each, as many as requests come at once. Thread-safe.</summary>
internal sealed class RelayPool(string path) : IAsyncDisposable
{
    private const int MaxBytes = 6 * 1024 * 1024;
    private readonly ConcurrentBag<NetworkStream> _idle = [];

    public async Task<byte[]> SendAsync(byte[] body, CancellationToken cancellationToken)
    {
        if (!_idle.TryTake(out NetworkStream? stream))
        {
            stream = await ConnectAsync(cancellationToken);
        }
        try
        {
            byte[] frame = new byte[4 + body.Length];
            BinaryPrimitives.WriteInt32LittleEndian(frame, body.Length);
            body.CopyTo(frame, 4);
            await stream.WriteAsync(frame, cancellationToken);
            byte[] answer = await ReadFrameAsync(stream, cancellationToken);
            _idle.Add(stream);
            return answer;
        }
        catch
        {
            await stream.DisposeAsync();
            throw;
        }
    }

    private async Task<NetworkStream> ConnectAsync(CancellationToken cancellationToken)
    {
        Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static async Task<byte[]> ReadFrameAsync(NetworkStream stream, CancellationToken cancellationToken)
    {
        byte[] buffer = new byte[4096];
        int have = await stream.ReadAtLeastAsync(buffer, 4, cancellationToken: cancellationToken);
        int length = BinaryPrimitives.ReadInt32LittleEndian(buffer);
        if (length is < 0 or > MaxBytes)
        {
            throw new InvalidDataException($"a frame of {length} bytes");
        }
        byte[] answer = new byte[length];
        buffer.AsSpan(4, Math.Min(have - 4, length)).CopyTo(answer);
        if (have - 4 < length)
        {
            await stream.ReadExactlyAsync(answer.AsMemory(have - 4), cancellationToken);
        }
        return answer;
    }

    public async ValueTask DisposeAsync()
    {
        while (_idle.TryTake(out NetworkStream? stream))
        {
            await stream.DisposeAsync();
        }
    }
}
