namespace Flint.Data.Queue;

/// <summary>
/// Thins out what goes to other servers: the first notice of a kind goes at once, further ones within <see cref="Interval"/> go together at its end, each id once, and above
/// <see cref="MostIds"/> as "many". One loop, ended by disposal.
/// </summary>
internal sealed class NoticeSender : IAsyncDisposable
{
    /// <summary>As many as one message of PostgreSQL (8000 bytes) holds.</summary>
    public const int MostIds = 350;

    public static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    private static readonly TimeSpan AfterFailure = TimeSpan.FromSeconds(1);
    private static readonly NoticeKinds[] Kinds = [NoticeKinds.Work, NoticeKinds.Finished, NoticeKinds.Cancelled, NoticeKinds.Changed];

    private readonly Lock _lock = new();
    private readonly Func<IReadOnlyList<NoticeMessage>, CancellationToken, Task<bool>> _send;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopping = new();
    private readonly SemaphoreSlim _wake = new(0);
    private readonly Dictionary<NoticeKinds, Pending> _pending = Kinds.ToDictionary(kind => kind, _ => new Pending());
    private Task? _loop;

    /// <param name="send">Sends them together; false when they did not go out. Throws nothing but for its token.</param>
    public NoticeSender(Func<IReadOnlyList<NoticeMessage>, CancellationToken, Task<bool>> send, TimeProvider time)
    {
        _send = send;
        _time = time;
    }

    public void Add(NoticeKinds kind, IReadOnlyCollection<string> ids)
    {
        lock (_lock)
        {
            if (_stopping.IsCancellationRequested)
            {
                return;
            }

            var pending = _pending[kind];
            if (!pending.Any)
            {
                _wake.Release();
            }

            pending.Add(ids);
            _loop ??= Task.Run(() => LoopAsync(_stopping.Token));
        }
    }

    public async ValueTask DisposeAsync()
    {
        Task? loop;
        lock (_lock)
        {
            _stopping.Cancel();
            loop = _loop;
        }

        if (loop is not null)
        {
            await loop;
        }

        _wake.Dispose();
        _stopping.Dispose();
    }

    private async Task LoopAsync(CancellationToken stopping)
    {
        try
        {
            while (true)
            {
                await _wake.WaitAsync(stopping);
                while (await SendDueAsync(stopping) is { } wait)
                {
                    await Task.Delay(wait, _time, stopping);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The loop's end. Others find out by looking.
        }
    }

    /// <summary>Returns how long until something else may be sent; null when nothing waits.</summary>
    private async Task<TimeSpan?> SendDueAsync(CancellationToken stopping)
    {
        var messages = new List<NoticeMessage>();
        TimeSpan? wait;
        lock (_lock)
        {
            foreach (var kind in Kinds)
            {
                if (_pending[kind].Any && WaitOf(_pending[kind]) <= TimeSpan.Zero)
                {
                    messages.Add(_pending[kind].Take(kind, _time.GetTimestamp()));
                }
            }

            var waits = _pending.Values.Where(pending => pending.Any).Select(WaitOf).ToList();
            wait = waits.Count == 0 ? null : waits.Min();
        }

        if (messages.Count == 0 || await _send(messages, stopping))
        {
            return wait;
        }

        lock (_lock)
        {
            messages.ForEach(message => _pending[message.Kind].Many());
        }

        return AfterFailure;
    }

    private TimeSpan WaitOf(Pending pending) => pending.SentAt is { } at ? Interval - _time.GetElapsedTime(at) : TimeSpan.Zero;

    private sealed class Pending
    {
        private readonly HashSet<string> _ids = new(StringComparer.Ordinal);
        private bool _many;

        public bool Any { get; private set; }

        public long? SentAt { get; private set; }

        public void Add(IReadOnlyCollection<string> ids)
        {
            Any = true;
            if (!_many)
            {
                _ids.UnionWith(ids);
                if (_ids.Count > MostIds)
                {
                    Many();
                }
            }
        }

        public void Many()
        {
            Any = true;
            _many = true;
            _ids.Clear();
        }

        public NoticeMessage Take(NoticeKinds kind, long now)
        {
            var message = new NoticeMessage(kind, _many, [.. _ids]);
            SentAt = now;
            Any = false;
            _many = false;
            _ids.Clear();
            return message;
        }
    }
}

/// <param name="Many">More than one message holds; it names none of them.</param>
internal sealed record NoticeMessage(NoticeKinds Kind, bool Many, IReadOnlyList<string> Ids);
