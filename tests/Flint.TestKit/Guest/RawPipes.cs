using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>Reads a test guest's raw stdout and stderr while a handler is attached.</summary>
internal sealed class RawPipes : IDisposable
{
    private readonly Lock _lock = new();
    private readonly ManualResetEventSlim _attached = new();
    private readonly Thread _pump;
    private readonly int _stdout;
    private readonly int _stderr;
    private RawOutputHandler? _handler;
    private bool _disposed;

    public RawPipes(int stdout, int stderr)
    {
        (_stdout, _stderr) = (stdout, stderr);
        TestLibc.SetNonBlocking(stdout);
        TestLibc.SetNonBlocking(stderr);
        _pump = new Thread(Run) { IsBackground = true, Name = "test-guest-output" };
        _pump.Start();
    }

    public void Attach(RawOutputHandler? handler)
    {
        lock (_lock)
        {
            _handler = handler;
        }
        if (handler is null)
        {
            _attached.Reset();
        }
        else
        {
            _attached.Set();
        }
    }

    public void Drain()
    {
        lock (_lock)
        {
            Read(_stdout, LogStream.Stdout);
            Read(_stderr, LogStream.Stderr);
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
        }
        _attached.Set();
        _pump.Join();
        TestLibc.Close(_stdout);
        TestLibc.Close(_stderr);
    }

    private void Run()
    {
        while (true)
        {
            _attached.Wait();
            // Bounded, so that the end of the sandbox is seen; the bytes themselves wake it at once.
            bool ended = TestLibc.Poll(_stdout, _stderr, milliseconds: 100);
            lock (_lock)
            {
                if (_disposed)
                {
                    return;
                }
            }
            Drain();
            if (ended)
            {
                return;
            }
        }
    }

    private void Read(int descriptor, LogStream stream)
    {
        if (_handler is null || _disposed)
        {
            return;
        }
        Span<byte> buffer = stackalloc byte[16 * 1024];
        for (int count = TestLibc.Read(descriptor, buffer); count > 0; count = TestLibc.Read(descriptor, buffer))
        {
            _handler(stream, buffer[..count]);
        }
    }
}
