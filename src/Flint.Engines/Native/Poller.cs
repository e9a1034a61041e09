using System.Collections.Concurrent;

namespace Flint.Engines.Native;

/// <summary>Somebody whose descriptors a <see cref="Poller"/> watches.</summary>
internal interface IPolled
{
    /// <summary>On the poller's thread: what others wait for there must not be held up. Must not throw.</summary>
    /// <param name="token">Which descriptor.</param>
    /// <param name="events">What epoll saw.</param>
    void OnReady(long token, uint events);
}

/// <summary>
/// One thread around one epoll set. Descriptors go by tokens that are never used twice, so that what is seen late of a closed one is nobody else's. Thread-safe.
/// </summary>
internal sealed class Poller : IDisposable
{
    private const long WakeToken = 0;
    private readonly int _epoll = Libc.CreateEpoll();
    private readonly int _wake = Libc.CreateEventDescriptor();
    private readonly ConcurrentDictionary<long, IPolled> _polled = new();
    private readonly Thread _thread;
    private long _lastToken = WakeToken;
    private volatile bool _stopping;

    /// <summary>Held while the epoll set is touched or closed: a sandbox may be disposed after the poller, when the descriptor's number is another's.</summary>
    private readonly Lock _set = new();
    private bool _closed;

    public Poller(string name)
    {
        Libc.ControlEpoll(_epoll, Libc.EpollCtlAdd, _wake, Libc.EpollIn, WakeToken);
        _thread = new Thread(Run) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Watches a descriptor from now on; the answer is its token. Throws <see cref="IOException"/>.</summary>
    public long Add(IPolled polled, int descriptor, uint events)
    {
        var token = Interlocked.Increment(ref _lastToken);
        _polled[token] = polled;
        try
        {
            Control(Libc.EpollCtlAdd, descriptor, events, token);
        }
        catch (IOException)
        {
            _polled.TryRemove(token, out _);
            throw;
        }

        return token;
    }

    /// <summary>Watches for these events from now on, those included that are there already.</summary>
    public void Change(int descriptor, long token, uint events) => Control(Libc.EpollCtlMod, descriptor, events, token);

    /// <summary>Once only; one call that has begun may still be on its way.</summary>
    public void Remove(int descriptor, long token)
    {
        _polled.TryRemove(token, out _);
        Control(Libc.EpollCtlDel, descriptor, 0, token);
    }

    public void Dispose()
    {
        _stopping = true;
        Libc.SignalEvent(_wake);
        if (Thread.CurrentThread != _thread)
        {
            _thread.Join();
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
        Span<PollEvent> ready = stackalloc PollEvent[64];
        while (!_stopping)
        {
            var count = Libc.WaitEpoll(_epoll, ready);
            foreach (var (token, events) in ready[..count])
            {
                if (token != WakeToken && _polled.TryGetValue(token, out var polled))
                {
                    polled.OnReady(token, events);
                }
            }
        }

        lock (_set)
        {
            _closed = true;
            Libc.Close(_epoll);
            Libc.Close(_wake);
        }
    }
}
