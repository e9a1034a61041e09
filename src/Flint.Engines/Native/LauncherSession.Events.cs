using System.Net.Sockets;
using System.Text.Json;
using Flint.Engines.Native.Egress;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>What the launcher says: read and passed on by the session's own thread, in order.</summary>
internal sealed partial class LauncherSession
{
    private void Receive()
    {
        var buffer = new byte[LauncherRequests.MaxBytes];
        // Whoever takes a descriptor takes it out of here; what is left is closed.
        var descriptors = new List<int>();
        try
        {
            while (true)
            {
                var count = Libc.ReceiveMessage(_descriptor, buffer, descriptors);
                if (count == 0)
                {
                    break;
                }

                Handle(buffer.AsSpan(0, count), descriptors);
                CloseAll(descriptors);
            }
        }
        catch (EngineException exception)
        {
            _refused = true;
            _hello.TrySetException(exception);
        }
        catch (Exception exception) when (exception is IOException or InvalidDataException or JsonException)
        {
            LogReceiveFailed(_logger, exception);
        }

        CloseAll(descriptors);
        End();
    }

    private static void CloseAll(List<int> descriptors)
    {
        descriptors.ForEach(Libc.Close);
        descriptors.Clear();
    }

    private void Handle(ReadOnlySpan<byte> bytes, List<int> descriptors)
    {
        var message = new LauncherEvent(bytes);
        if (!_hello.Task.IsCompleted)
        {
            _hello.SetResult(message.Op == LauncherOp.Hello
                ? LauncherHello.Parse(message.ReadString())
                : throw new InvalidDataException($"The launcher began with {message.Op} instead of HELLO."));
        }
        else if (message.Op == LauncherOp.Egress)
        {
            OnEgress(descriptors);
        }
        else if (_cells.TryGetValue(message.Id, out var cell))
        {
            Handle(cell, ref message, descriptors);
        }
        else if (_zygotes.TryGetValue(message.Id, out var zygote))
        {
            Handle(zygote, ref message);
        }
    }

    private void OnEgress(List<int> descriptors)
    {
        if (descriptors.Count != 2 || _dnsSockets.Task.IsCompleted)
        {
            throw new InvalidDataException("The launcher's EGRESS is not as its contract says.");
        }

        var sockets = new DnsSockets(Own(descriptors[0]), Own(descriptors[1]));
        descriptors.Clear();
        _dnsSockets.SetResult(sockets);
    }

    private static TimeSpan Microseconds(ref LauncherEvent message) => TimeSpan.FromMicroseconds(message.ReadNumber());

    private static Socket Own(int descriptor) => new(new SafeSocketHandle(descriptor, ownsHandle: true));

    private void Handle(Cell cell, ref LauncherEvent message, List<int> descriptors)
    {
        switch (message.Op)
        {
            case LauncherOp.Ready:
                _ = message.ReadNumber(); // its uid
                _ = message.ReadNumber(); // the pid of its PID 1
                var address = message.ReadNumber();
                cell.OnReady(descriptors, Hello.Descriptors, address, new SandboxMaking(Microseconds(ref message), Microseconds(ref message), Microseconds(ref message)));
                break;
            case LauncherOp.Failed:
                var phase = message.ReadString();
                _ = message.ReadNumber();
                Fail(cell, new CellFailure(phase, message.ReadString()));
                break;
            case LauncherOp.Exited:
                cell.OnExited(message.ReadNumber(), message.ReadNumber(), (message.ReadNumber() & 1) != 0);
                break;
            case LauncherOp.Gone:
                _cells.TryRemove(cell.Id, out _);
                cell.OnGone(message.ReadNumber() == 1 ? null : message.ReadString());
                break;
            case LauncherOp.Forked:
                cell.Template?.OnForked(message.ReadNumber(), descriptors);
                break;
            case LauncherOp.ForkExited:
                cell.Template?.OnForkExited(message.ReadNumber(), message.ReadNumber(), message.ReadNumber(), (message.ReadNumber() & 1) != 0);
                break;
            case LauncherOp.Unsafe:
                cell.Template?.OnUnsafe(message.ReadList());
                break;
            default:
                throw Unknown(message.Op);
        }
    }

    private void Handle(Zygote zygote, ref LauncherEvent message)
    {
        switch (message.Op)
        {
            case LauncherOp.ZygoteReady:
                zygote.OnReady(message.ReadNumber());
                break;
            case LauncherOp.ZygoteGone:
                _zygotes.TryRemove(zygote.Id, out _);
                zygote.OnGone(message.ReadNumber(), message.ReadNumber(), message.ReadString());
                break;
            default:
                throw Unknown(message.Op);
        }
    }

    private void Fail(Cell cell, CellFailure failure)
    {
        if (cell.WasReady)
        {
            // After READY somebody waits for the guest, not for the cell, and only hears that the platform lost it.
            LogStartFailed(_logger, cell.Id, failure.Phase, failure.Message);
        }

        cell.OnFailed(failure);
    }

    private static InvalidDataException Unknown(LauncherOp op) => new($"The launcher sent an unknown operation {(ushort)op:x}.");

    private void End()
    {
        lock (_sendLock)
        {
            _over = true;
        }

        _hello.TrySetException(new EngineException("The launcher's connection ended before its HELLO."));
        _dnsSockets.TrySetResult(null);
        // They keep the router's namespace in being, whoever has taken them.
        _dnsSockets.Task.Result?.Dispose();
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

        foreach (var id in _zygotes.Keys)
        {
            if (_zygotes.TryRemove(id, out var zygote))
            {
                zygote.OnGone("the launcher ended");
            }
        }

        _socket.Dispose();
        _ended.TrySetResult();
    }

    [LoggerMessage(4004, LogLevel.Warning, "The guest of sandbox c{Cell} could not be started ({Phase}): {Reason}")]
    private static partial void LogStartFailed(ILogger logger, uint cell, string phase, string reason);

    [LoggerMessage(4001, LogLevel.Error, "The launcher ended by itself; {Cells} sandboxes ended with it")]
    private static partial void LogLauncherEnded(ILogger logger, int cells);

    [LoggerMessage(4002, LogLevel.Error, "The launcher's control connection broke")]
    private static partial void LogReceiveFailed(ILogger logger, Exception exception);
}
