using System.Collections.Concurrent;
using System.Net.Sockets;
using Flint.Engines.Native.Egress;
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
    private readonly ConcurrentDictionary<uint, Zygote> _zygotes = new();
    private readonly Lock _sendLock = new();
    /// <summary>What the launcher had no room for yet, in order; under <see cref="_sendLock"/>.</summary>
    private readonly Queue<ReadOnlyMemory<byte>> _unsent = new();
    /// <summary><see cref="SendRest"/> runs: everything goes through the queue. Under <see cref="_sendLock"/>; for good once the connection is broken.</summary>
    private bool _sendingRest;
    private readonly TaskCompletionSource<LauncherHello> _hello = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<DnsSockets?> _dnsSockets = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ILogger _logger;
    private readonly Thread _receiver;
    private uint _lastId;
    private int _stopping;
    /// <summary>Nothing can be sent any more. Under <see cref="_sendLock"/>, which keeps the descriptor open while it is false.</summary>
    private bool _over;
    /// <summary>The launcher is of another build; written before <see cref="_hello"/> faults.</summary>
    private volatile bool _refused;

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

    public int ProcessId => _process.Id;

    /// <summary>Where sandboxes ask for names; open until this session ends. Comes right after a HELLO with egress; null when the launcher ends before.</summary>
    public Task<DnsSockets?> DnsSockets => _dnsSockets.Task;

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
        catch (EngineException) when (session._refused)
        {
            await session.DisposeAsync();
            throw;
        }
        catch (Exception exception)
        {
            var said = await process.LastWordsAsync(TimeSpan.FromSeconds(1));
            await session.DisposeAsync();
            cancellationToken.ThrowIfCancellationRequested();
            throw new EngineException($"The launcher could not start: {said}", exception);
        }
    }

    /// <summary>Asks for a new cell; <paramref name="settled"/> is called once, on the event thread, when it is ready or could not be made.</summary>
    /// <param name="kind">What the cell is for.</param>
    /// <param name="zygote">The zygote that forks its guest; null when there is none. A kind that needs one has failed then.</param>
    /// <param name="settled">See <see cref="Cell"/>.</param>
    public void MakeCell(CellKind kind, Zygote? zygote, Action<Cell> settled)
    {
        var cell = new Cell(Interlocked.Increment(ref _lastId), kind, zygote?.Id ?? 0, settled);
        if (kind.Zygote is not null && zygote is null)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static cell => cell.OnFailed(CellFailure.NoZygote), cell, preferLocal: false);
            return;
        }

        _cells[cell.Id] = cell;
        if (!Send(LauncherRequests.Make(cell.Id, kind.Tenant, cell.Zygote, kind.Network)) && _cells.TryRemove(cell.Id, out _))
        {
            // Never on the caller's own stack: it may hold a lock that the callback wants.
            ThreadPool.UnsafeQueueUserWorkItem(static cell => cell.OnGone(null), cell, preferLocal: false);
        }
    }

    public void StartGuest(Cell cell, GuestStart start)
    {
        if (!Send(LauncherRequests.Start(cell.Id, start)))
        {
            throw new EngineException("The launcher is gone; it is being restarted.");
        }
    }

    /// <summary>Kills everything in the cell; <see cref="Cell.Gone"/> tells when it is proven empty. Harmless on a cell that is gone.</summary>
    public void Kill(Cell cell)
    {
        cell.MarkKilled();
        Send(LauncherRequests.Bare(LauncherOp.Kill, cell.Id));
    }

    /// <summary>Kills a cell that nobody uses and gives its descriptors back at once.</summary>
    public void Discard(Cell cell)
    {
        Kill(cell);
        cell.Dispose();
    }

    /// <summary>Asks for the template's first fork.</summary>
    public void Snapshot(Cell cell) => Send(LauncherRequests.Bare(LauncherOp.Snapshot, cell.Id));

    /// <summary>Asks for the end of the template's running fork and for the next one.</summary>
    public void Renew(Cell cell) => Send(LauncherRequests.Bare(LauncherOp.Renew, cell.Id));

    public Zygote StartZygote(IReadOnlyList<string> arguments, IReadOnlyList<string> environment)
    {
        var zygote = new Zygote(Interlocked.Increment(ref _lastId));
        _zygotes[zygote.Id] = zygote;
        if (!Send(LauncherRequests.Zygote(zygote.Id, arguments, environment)) && _zygotes.TryRemove(zygote.Id, out _))
        {
            zygote.OnGone("the launcher ended");
        }

        return zygote;
    }

    /// <summary>Ends a zygote; its guests live on. Harmless on one that is gone.</summary>
    public void Retire(Zygote zygote) => Send(LauncherRequests.Bare(LauncherOp.Retire, zygote.Id));

    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _stopping, 1) == 0)
        {
            // The launcher takes the end of the connection as its order to kill and remove everything.
            // Once it has ended the descriptor is closed, and its number may be another socket's.
            lock (_sendLock)
            {
                if (!_over)
                {
                    Libc.Shutdown(_descriptor);
                }
            }
            await _process.StopAsync(StopLimit);
        }

        await _ended.Task;
    }

    /// <summary>Never waits for the launcher: the caller's thread may be one that others wait for. False when the launcher is gone.</summary>
    private bool Send(ReadOnlyMemory<byte> message)
    {
        lock (_sendLock)
        {
            if (_over)
            {
                return false;
            }

            try
            {
                if (!_sendingRest && Libc.Send(_descriptor, message.Span, wait: false) >= 0)
                {
                    return true;
                }
            }
            catch (IOException exception)
            {
                LogSendFailed(_logger, exception);
                return false;
            }

            _unsent.Enqueue(message);
            if (!_sendingRest)
            {
                _sendingRest = true;
                ThreadPool.UnsafeQueueUserWorkItem(static session => session.SendRest(), this, preferLocal: false);
            }

            return true;
        }
    }

    /// <summary>Blocks while the launcher has no room; its end ends it.</summary>
    private void SendRest()
    {
        var held = false;
        try
        {
            _socket.SafeHandle.DangerousAddRef(ref held);
            while (TryTakeUnsent(out var message))
            {
                Libc.Send(_descriptor, message.Span, wait: true);
            }
        }
        catch (Exception exception) when (exception is IOException or ObjectDisposedException)
        {
            // The connection has ended, and with it whatever the messages were about.
            LogSendFailed(_logger, exception);
        }
        finally
        {
            if (held)
            {
                _socket.SafeHandle.DangerousRelease();
            }
        }
    }

    private bool TryTakeUnsent(out ReadOnlyMemory<byte> message)
    {
        lock (_sendLock)
        {
            return _sendingRest = _unsent.TryDequeue(out message);
        }
    }

    [LoggerMessage(4003, LogLevel.Warning, "A message to the launcher could not be sent")]
    private static partial void LogSendFailed(ILogger logger, Exception exception);
}
