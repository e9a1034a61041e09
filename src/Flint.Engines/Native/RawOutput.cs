using System.Runtime.CompilerServices;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>
/// One sandbox's raw stdout and stderr, each watched once until it is read. Reads happen under the lock, from the poller's thread or a draining caller, and only
/// while a handler is attached. Owns the two descriptors.
/// </summary>
internal sealed class RawOutput : IPolled, IDisposable
{
    // A guest may enlarge its pipe up to the host's pipe-max-size (1 MiB by default): what was in the pipe when a drain began is at most that.
    private const int MaxDrainBytes = 1024 * 1024;
    private const int ReadBytes = 16 * 1024;
    private const uint Once = Libc.EpollIn | Libc.EpollOneShot;

    private readonly Lock _lock = new();
    private readonly GuestPollers _pollers;
    private readonly Pipe _stdout;
    private readonly Pipe _stderr;
    private RawOutputHandler? _handler;
    private bool _disposed;

    public RawOutput(GuestPollers pollers, int stdout, int stderr)
    {
        _pollers = pollers;
        _stdout = new Pipe(stdout, LogStream.Stdout);
        _stderr = new Pipe(stderr, LogStream.Stderr);
        try
        {
            Libc.SetNonBlocking(stdout);
            Libc.SetNonBlocking(stderr);
            _stdout.Token = pollers.Outputs.Add(this, stdout, Once);
            _stderr.Token = pollers.Outputs.Add(this, stderr, Once);
        }
        catch (IOException)
        {
            Libc.Close(stdout);
            Libc.Close(stderr);
            throw;
        }
    }

    public void Attach(RawOutputHandler? handler)
    {
        lock (_lock)
        {
            _handler = handler;
            if (handler is not null && !_disposed)
            {
                RearmIfWaiting(_stdout);
                RearmIfWaiting(_stderr);
            }
        }
    }

    /// <summary>Gives the handler all that was written before the call.</summary>
    public void Drain()
    {
        lock (_lock)
        {
            Read(_stdout, MaxDrainBytes);
            Read(_stderr, MaxDrainBytes);
        }
    }

    /// <summary>Unless somebody listens: whatever comes from now on, and the end, wakes nobody.</summary>
    public void Mute()
    {
        lock (_lock)
        {
            if (_handler is null && !_disposed)
            {
                Unwatch(_stdout);
                Unwatch(_stderr);
            }
        }
    }

    // The pipe has bytes or has ended, and is disarmed. One sandbox's broken pipe must not stop the others'.
    void IPolled.OnReady(long token, uint events)
    {
        try
        {
            lock (_lock)
            {
                var pipe = token == _stdout.Token ? _stdout : _stderr;
                pipe.Waiting = true;
                if (_handler is not null && !_disposed)
                {
                    Read(pipe, ReadBytes * 4);
                    RearmIfWaiting(pipe);
                }
            }
        }
        catch (IOException exception)
        {
            _pollers.OnBroken(exception);
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _handler = null;
            Close(_stdout);
            Close(_stderr);
        }
    }

    [SkipLocalsInit]
    private void Read(Pipe pipe, int limit)
    {
        if (_handler is null || _disposed || pipe.Ended)
        {
            return;
        }

        Span<byte> buffer = stackalloc byte[ReadBytes];
        for (var total = 0; total < limit;)
        {
            var count = Libc.ReadAvailable(pipe.Descriptor, buffer);
            if (count <= 0)
            {
                pipe.Ended = count == 0;
                return;
            }

            _handler(pipe.Stream, buffer[..count]);
            total += count;
        }
    }

    private void RearmIfWaiting(Pipe pipe)
    {
        if (pipe.Waiting && !pipe.Ended && pipe.Watched)
        {
            pipe.Waiting = false;
            _pollers.Outputs.Change(pipe.Descriptor, pipe.Token, Once);
        }
    }

    private void Close(Pipe pipe)
    {
        Unwatch(pipe);
        Libc.Close(pipe.Descriptor);
    }

    private void Unwatch(Pipe pipe)
    {
        if (pipe.Watched)
        {
            pipe.Watched = false;
            _pollers.Outputs.Remove(pipe.Descriptor, pipe.Token);
        }
    }

    private sealed class Pipe(int descriptor, LogStream stream)
    {
        public int Descriptor { get; } = descriptor;
        public LogStream Stream { get; } = stream;
        public long Token { get; set; }
        public bool Watched { get; set; } = true;
        /// <summary>The poller saw it readable and it is disarmed.</summary>
        public bool Waiting { get; set; }
        /// <summary>Every writer has closed it.</summary>
        public bool Ended { get; set; }
    }
}
