using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>
/// Watches the raw stdout and stderr pipes of all sandboxes on one thread, so that a guest never blocks on a full pipe while somebody
/// listens. A pipe nobody listens to stays unread: its own size bounds it.
/// </summary>
internal sealed partial class RawOutputPump : IDisposable
{
    private const long WakeToken = 0;
    private readonly int _epoll = Libc.CreateEpoll();
    private readonly int _wake = Libc.CreateEventDescriptor();
    private readonly ConcurrentDictionary<long, RawOutput> _outputs = new();
    private readonly ILogger<RawOutputPump> _logger;
    private readonly Thread _thread;
    private long _lastToken = WakeToken;
    private volatile bool _stopping;

    /// <summary>Held while the epoll set is touched or closed: a sandbox may be disposed after the pump, when the descriptor's number is another's.</summary>
    private readonly Lock _set = new();
    private bool _closed;

    public RawOutputPump(ILogger<RawOutputPump> logger)
    {
        _logger = logger;
        Libc.ControlEpoll(_epoll, Libc.EpollCtlAdd, _wake, Libc.EpollIn, WakeToken);
        _thread = new Thread(Run) { IsBackground = true, Name = "flint-raw-output" };
        _thread.Start();
    }

    /// <summary>Gives a pipe a token under which it is watched once; see <see cref="Rearm"/>.</summary>
    public long Add(RawOutput output, int descriptor)
    {
        var token = Interlocked.Increment(ref _lastToken);
        _outputs[token] = output;
        try
        {
            Control(Libc.EpollCtlAdd, descriptor, Libc.EpollIn | Libc.EpollOneShot, token);
        }
        catch (IOException)
        {
            _outputs.TryRemove(token, out _);
            throw;
        }

        return token;
    }

    public void Rearm(int descriptor, long token) =>
        Control(Libc.EpollCtlMod, descriptor, Libc.EpollIn | Libc.EpollOneShot, token);

    public void Remove(int descriptor, long token)
    {
        _outputs.TryRemove(token, out _);
        Control(Libc.EpollCtlDel, descriptor, 0, token);
    }

    public void Dispose()
    {
        _stopping = true;
        Libc.SignalEvent(_wake);
        _thread.Join();
        lock (_set)
        {
            _closed = true;
            Libc.Close(_epoll);
            Libc.Close(_wake);
        }
    }

    private void Control(int operation, int descriptor, uint events, long token)
    {
        lock (_set)
        {
            if (!_closed)
            {
                Libc.ControlEpoll(_epoll, operation, descriptor, events, token);
            }
        }
    }

    private void Run()
    {
        Span<long> tokens = stackalloc long[64];
        while (!_stopping)
        {
            var count = Libc.WaitEpoll(_epoll, tokens);
            foreach (var token in tokens[..count])
            {
                if (token != WakeToken && _outputs.TryGetValue(token, out var output))
                {
                    Pump(output, token);
                }
            }
        }
    }

    // One sandbox's broken pipe must not stop the others'.
    private void Pump(RawOutput output, long token)
    {
        try
        {
            output.OnReadable(token);
        }
        catch (IOException exception)
        {
            LogPipeFailed(_logger, exception);
        }
    }

    [LoggerMessage(4101, LogLevel.Warning, "A sandbox's output pipe could not be read; its raw output is lost from here on")]
    private static partial void LogPipeFailed(ILogger logger, Exception exception);
}
