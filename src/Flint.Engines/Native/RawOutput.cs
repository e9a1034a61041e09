using System.Runtime.CompilerServices;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>
/// One sandbox's raw stdout and stderr. Reads happen under the lock, from the pump's thread or a draining caller, and only while a handler
/// is attached. Owns the two descriptors.
/// </summary>
internal sealed class RawOutput : IDisposable
{
    // A guest may enlarge its pipe up to the host's pipe-max-size (1 MiB by default): what was in the pipe when a drain began is at most that.
    private const int MaxDrainBytes = 1024 * 1024;
    private const int ReadBytes = 16 * 1024;

    private readonly Lock _lock = new();
    private readonly RawOutputPump _pump;
    private readonly Pipe _stdout;
    private readonly Pipe _stderr;
    private RawOutputHandler? _handler;
    private bool _disposed;

    public RawOutput(RawOutputPump pump, int stdout, int stderr)
    {
        _pump = pump;
        _stdout = new Pipe(stdout, LogStream.Stdout);
        _stderr = new Pipe(stderr, LogStream.Stderr);
        try
        {
            Libc.SetNonBlocking(stdout);
            Libc.SetNonBlocking(stderr);
            _stdout.Token = pump.Add(this, stdout);
            _stderr.Token = pump.Add(this, stderr);
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

    /// <summary>Called by the pump: the pipe has bytes or has ended, and is disarmed.</summary>
    public void OnReadable(long token)
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
        if (pipe.Waiting && !pipe.Ended)
        {
            pipe.Waiting = false;
            _pump.Rearm(pipe.Descriptor, pipe.Token);
        }
    }

    private void Close(Pipe pipe)
    {
        _pump.Remove(pipe.Descriptor, pipe.Token);
        Libc.Close(pipe.Descriptor);
    }

    private sealed class Pipe(int descriptor, LogStream stream)
    {
        public int Descriptor { get; } = descriptor;
        public LogStream Stream { get; } = stream;
        public long Token { get; set; }
        /// <summary>The pump saw it readable and it is disarmed.</summary>
        public bool Waiting { get; set; }
        /// <summary>Every writer has closed it.</summary>
        public bool Ended { get; set; }
    }
}
