namespace Flint.Data.Queue;

/// <summary>
/// A mailbox for notices, for one reader. Whoever sends never waits: what is not read is gathered, each id once, and beyond the capacity it is dropped and counts as missed.
/// Disposal ends it. Thread-safe.
/// </summary>
public sealed class NoticeSubscription : IDisposable
{
    private readonly Lock _lock = new();
    private readonly NoticeKinds _kinds;
    private readonly int _capacity;
    private readonly Action<NoticeSubscription> _ended;
    // Released once when the mailbox stops being empty.
    private readonly SemaphoreSlim _filled = new(0);
    private Gathered _gathered = new();

    internal NoticeSubscription(NoticeKinds kinds, int capacity, Action<NoticeSubscription> ended)
    {
        _kinds = kinds;
        _capacity = capacity;
        _ended = ended;
    }

    /// <summary>Waits until there is something, and takes all of it.</summary>
    public async Task<Notices> ReadAsync(CancellationToken cancellationToken)
    {
        await _filled.WaitAsync(cancellationToken);
        lock (_lock)
        {
            var read = _gathered;
            _gathered = new Gathered();
            return read.ToNotices();
        }
    }

    public void Dispose() => _ended(this);

    internal void Add(NoticeKinds kind, IEnumerable<string> ids)
    {
        lock (_lock)
        {
            var was = _gathered.IsEmpty;
            _gathered.Add(kind & _kinds, ids, _capacity);
            Filled(was);
        }
    }

    internal void Miss(NoticeKinds kinds)
    {
        lock (_lock)
        {
            var was = _gathered.IsEmpty;
            _gathered.Miss(kinds & _kinds);
            Filled(was);
        }
    }

    private void Filled(bool wasEmpty)
    {
        if (wasEmpty && !_gathered.IsEmpty)
        {
            _filled.Release();
        }
    }

    private sealed class Gathered
    {
        private readonly HashSet<string> _finished = new(StringComparer.Ordinal);
        private readonly HashSet<string> _cancelled = new(StringComparer.Ordinal);
        private readonly HashSet<string> _changed = new(StringComparer.Ordinal);
        private bool _work;
        private NoticeKinds _missed;

        public bool IsEmpty => !_work && _missed == NoticeKinds.None && _finished.Count + _cancelled.Count + _changed.Count == 0;

        public void Add(NoticeKinds kind, IEnumerable<string> ids, int capacity)
        {
            _work |= kind == NoticeKinds.Work;
            if (Of(kind) is not { } set)
            {
                return;
            }

            foreach (var id in ids)
            {
                if (set.Count >= capacity && !set.Contains(id))
                {
                    _missed |= kind;
                    return;
                }

                set.Add(id);
            }
        }

        public void Miss(NoticeKinds kinds) => _missed |= kinds;

        public Notices ToNotices() => new(_work, _finished, _cancelled, _changed, _missed);

        private HashSet<string>? Of(NoticeKinds kind) => kind switch
        {
            NoticeKinds.Finished => _finished,
            NoticeKinds.Cancelled => _cancelled,
            NoticeKinds.Changed => _changed,
            _ => null,
        };
    }
}
