using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text.Json;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>
/// One running launcher and its control connection. Sends from any thread; one thread receives. When the connection ends, for whatever
/// reason, every cell is gone: the launcher's process tree dies with it.
/// </summary>
internal sealed partial class LauncherSession : IAsyncDisposable
{
    private static readonly TimeSpan HelloLimit = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);
    private readonly LauncherProcess _process;
    private readonly Socket _socket;
    private readonly int _descriptor;
    private readonly ConcurrentDictionary<uint, Cell> _cells = new();
    private readonly Lock _sendLock = new();
    private readonly TaskCompletionSource<LauncherHello> _hello = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ILogger _logger;
    private readonly Thread _receiver;
    private uint _lastCell;
    private int _stopping;

    private LauncherSession(LauncherProcess process, Socket socket, ILogger logger)
    {
        _process = process;
        _socket = socket;
        _descriptor = (int)socket.SafeHandle.DangerousGetHandle();
        _logger = logger;
        _receiver = new Thread(Receive) { IsBackground = true, Name = "flint-launcher-events" };
    }

    /// <summary>What the launcher said first; there once <see cref="StartAsync"/> has returned the session.</summary>
    public LauncherHello Hello => _hello.Task.Result;

    /// <summary>Completes when the launcher is no more and every cell has been told.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Starts a launcher and waits for its HELLO. Throws <see cref="EngineException"/> with the launcher's own words.</summary>
    public static async Task<LauncherSession> StartAsync(
        LauncherCommand command, ILogger logger, CancellationToken cancellationToken)
    {
        var (process, socket) = await LauncherProcess.StartAsync(command, logger, cancellationToken);
        var session = new LauncherSession(process, socket, logger);
        session._receiver.Start();
        try
        {
            await session._hello.Task.WaitAsync(HelloLimit, cancellationToken);
            return session;
        }
        catch (Exception exception)
        {
            var said = await process.LastWordsAsync(TimeSpan.FromSeconds(1));
            await session.DisposeAsync();
            cancellationToken.ThrowIfCancellationRequested();
            throw new EngineException($"The launcher could not start: {said}", exception);
        }
    }

    /// <summary>Asks for a new cell; <see cref="Cell.Ready"/> tells when it is there.</summary>
    public Cell MakeCell(string tenant)
    {
        var cell = new Cell(Interlocked.Increment(ref _lastCell), tenant);
        _cells[cell.Id] = cell;
        if (!Send(LauncherRequests.Make(cell.Id, tenant)) && _cells.TryRemove(cell.Id, out _))
        {
            cell.OnGone(null);
        }

        return cell;
    }

    public void StartGuest(Cell cell, GuestStart start)
    {
        var message = LauncherRequests.Start(cell.Id, start);
        if (!Send(message))
        {
            throw new EngineException("The launcher is gone; it is being restarted.");
        }
    }

    /// <summary>Kills everything in the cell; <see cref="Cell.Gone"/> tells when it is proven empty. Harmless on a cell that is gone.</summary>
    public void Kill(Cell cell)
    {
        cell.MarkKilled();
        Send(LauncherRequests.Kill(cell.Id));
    }

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _stopping, 1) == 0)
        {
            // The launcher takes the end of the connection as its order to kill and remove everything.
            // Once it has ended the descriptor is closed, and its number may be another socket's.
            lock (_sendLock)
            {
                if (!_ended.Task.IsCompleted)
                {
                    Libc.Shutdown(_descriptor);
                }
            }
            await _process.StopAsync(StopLimit);
        }

        await _ended.Task;
    }

    private bool Send(byte[] message)
    {
        lock (_sendLock)
        {
            if (_ended.Task.IsCompleted)
            {
                return false;
            }

            try
            {
                _socket.Send(message);
                return true;
            }
            catch (SocketException exception)
            {
                LogSendFailed(_logger, exception);
                return false;
            }
        }
    }

    private void Receive()
    {
        var buffer = new byte[LauncherRequests.MaxBytes];
        var descriptors = new List<int>();
        try
        {
            while (true)
            {
                descriptors.Clear();
                var count = Libc.ReceiveMessage(_descriptor, buffer, descriptors);
                if (count == 0)
                {
                    break;
                }

                Handle(buffer.AsSpan(0, count), descriptors);
            }
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException or JsonException)
        {
            LogReceiveFailed(_logger, exception);
        }

        End();
    }

    private void Handle(ReadOnlySpan<byte> bytes, List<int> descriptors)
    {
        var message = new LauncherEvent(bytes);
        if (!_hello.Task.IsCompleted)
        {
            _hello.SetResult(message.Op == LauncherOp.Hello
                ? LauncherHello.Parse(message.ReadString())
                : throw new InvalidDataException($"The launcher began with {message.Op} instead of HELLO."));
            return;
        }

        if (!_cells.TryGetValue(message.Cell, out var cell))
        {
            descriptors.ForEach(Libc.Close);
            return;
        }

        switch (message.Op)
        {
            case LauncherOp.Ready:
                cell.OnReady(descriptors, Hello.Descriptors);
                break;
            case LauncherOp.Failed:
                var phase = message.ReadString();
                _ = message.ReadNumber();
                cell.OnFailed($"The sandbox could not be made ({phase}): {message.ReadString()}");
                break;
            case LauncherOp.Exited:
                cell.OnExited(message.ReadNumber(), message.ReadNumber(), (message.ReadNumber() & 1) != 0);
                break;
            case LauncherOp.Gone:
                _cells.TryRemove(cell.Id, out _);
                cell.OnGone(message.ReadNumber() == 1 ? null : message.ReadString());
                break;
            default:
                throw new InvalidDataException($"The launcher sent an unknown operation {(ushort)message.Op:x}.");
        }
    }

    private void End()
    {
        lock (_sendLock)
        {
            _ended.TrySetResult();
        }

        _hello.TrySetException(new EngineException("The launcher's connection ended before its HELLO."));
        if (Volatile.Read(ref _stopping) == 0)
        {
            LogLauncherEnded(_logger, _cells.Count);
        }

        foreach (var id in _cells.Keys)
        {
            if (_cells.TryRemove(id, out var cell))
            {
                cell.OnGone(null);
            }
        }

        _socket.Dispose();
    }

    [LoggerMessage(4001, LogLevel.Error, "The launcher ended by itself; {Cells} sandboxes ended with it")]
    private static partial void LogLauncherEnded(ILogger logger, int cells);

    [LoggerMessage(4002, LogLevel.Error, "The launcher's control connection broke")]
    private static partial void LogReceiveFailed(ILogger logger, Exception exception);

    [LoggerMessage(4003, LogLevel.Warning, "A message to the launcher could not be sent")]
    private static partial void LogSendFailed(ILogger logger, Exception exception);
}
