using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Flint.Data.Tests.Postgres;

/// <summary>Stands before a server and passes everything on; once told to, it lets a request through, swallows its answer and breaks the connection.</summary>
internal sealed class CuttingProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource _stopping = new();
    private readonly int _target;
    private readonly Task _accepting;
    private string? _cutAt;

    public CuttingProxy(int target)
    {
        _target = target;
        _listener.Start();
        _accepting = Task.Run(AcceptAsync);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>The next request that holds this text is answered by nobody, and the only one.</summary>
    public void CutAnswerTo(string text) => Volatile.Write(ref _cutAt, text);

    public bool HasCut => Volatile.Read(ref _cutAt) is null;

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        _listener.Stop();
        await _accepting;
        _stopping.Dispose();
    }

    private async Task AcceptAsync()
    {
        var connections = new List<Task>();
        try
        {
            while (true)
            {
                var client = await _listener.AcceptTcpClientAsync(_stopping.Token);
                connections.Add(Task.Run(() => ServeAsync(client)));
            }
        }
        catch (OperationCanceledException)
        {
            await Task.WhenAll(connections);
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using var server = new TcpClient();
        using (client)
        {
            await server.ConnectAsync(IPAddress.Loopback, _target, _stopping.Token);
            var cut = new TaskCompletionSource();
            await Task.WhenAny(SendAsync(client.GetStream(), server.GetStream(), cut), AnswerAsync(server.GetStream(), client.GetStream(), cut.Task));
        }
    }

    private async Task SendAsync(NetworkStream from, NetworkStream to, TaskCompletionSource cut)
    {
        var buffer = new byte[1 << 20];
        while (await ReadAsync(from, buffer) is > 0 and var count)
        {
            if (Volatile.Read(ref _cutAt) is { } text && Encoding.Latin1.GetString(buffer, 0, count).Contains(text, StringComparison.Ordinal)
                && Interlocked.CompareExchange(ref _cutAt, null, text) == text)
            {
                cut.SetResult();
            }

            await to.WriteAsync(buffer.AsMemory(0, count), _stopping.Token);
        }
    }

    private async Task AnswerAsync(NetworkStream from, NetworkStream to, Task cut)
    {
        var buffer = new byte[1 << 20];
        while (await ReadAsync(from, buffer) is > 0 and var count)
        {
            if (!cut.IsCompleted)
            {
                await to.WriteAsync(buffer.AsMemory(0, count), _stopping.Token);
            }
            else if (buffer[count - 6] == 'Z')
            {
                // The server is ready for the next: all of the request is done, and this end of it.
                return;
            }
        }
    }

    private async Task<int> ReadAsync(NetworkStream from, byte[] buffer)
    {
        try
        {
            return await from.ReadAsync(buffer, _stopping.Token);
        }
        catch (Exception exception) when (exception is IOException or OperationCanceledException)
        {
            return 0;
        }
    }
}
