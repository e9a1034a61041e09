namespace Flint.Data.Queue;

/// <summary>
/// Wake-ups around the queue: in this process at once, between servers where the database carries them. They only save time: whoever waits for one looks in the store now and
/// then as well, more often while <see cref="Healthy"/> is false. No call blocks. Thread-safe.
/// </summary>
public sealed class QueueNotices
{
    private readonly Lock _lock = new();
    private readonly Action? _started;
    private readonly Action<NoticeKinds, IReadOnlyCollection<string>>? _relay;
    // Replaced, never changed: senders read it without the lock.
    private volatile NoticeSubscription[] _subscriptions = [];
    private volatile string? _problem;

    /// <summary>Notices within this process alone: all that one server needs.</summary>
    public QueueNotices()
    {
    }

    /// <param name="started">Called with the first subscription.</param>
    /// <param name="relay">Tells other servers; must not block.</param>
    internal QueueNotices(Action started, Action<NoticeKinds, IReadOnlyCollection<string>> relay)
    {
        _started = started;
        _relay = relay;
    }

    /// <summary>Notices of other servers arrive, as far as is known.</summary>
    public bool Healthy => _problem is null;

    /// <summary>Why they do not; null when they do.</summary>
    public string? Problem => _problem;

    /// <summary>Something was enqueued, or made to wait again, that is due now.</summary>
    public void WorkAdded() => Send(NoticeKinds.Work, []);

    public void Finished(IReadOnlyCollection<string> ids) => Send(NoticeKinds.Finished, ids);

    public void Cancelled(IReadOnlyCollection<string> ids) => Send(NoticeKinds.Cancelled, ids);

    public void Changed(IReadOnlyCollection<string> ids) => Send(NoticeKinds.Changed, ids);

    public void Changed(string id) => Send(NoticeKinds.Changed, [id]);

    /// <param name="kinds">What it is told.</param>
    /// <param name="capacity">Ids of each kind that are kept while nobody reads.</param>
    public NoticeSubscription Subscribe(NoticeKinds kinds, int capacity = 1000)
    {
        var subscription = new NoticeSubscription(kinds, capacity, Remove);
        bool first;
        lock (_lock)
        {
            first = _subscriptions.Length == 0;
            _subscriptions = [.. _subscriptions, subscription];
        }

        if (first)
        {
            _started?.Invoke();
        }

        return subscription;
    }

    /// <summary>What another server told.</summary>
    internal void Receive(NoticeKinds kind, IReadOnlyCollection<string> ids)
    {
        foreach (var subscription in _subscriptions)
        {
            subscription.Add(kind, ids);
        }
    }

    /// <summary>Notices were lost, or may have been.</summary>
    internal void Miss(NoticeKinds kinds)
    {
        foreach (var subscription in _subscriptions)
        {
            subscription.Miss(kinds);
        }
    }

    /// <summary>Sets whether other servers can be heard. Subscribers are woken by a change: something may have been missed, and how often to look is another matter now.</summary>
    internal void Report(string? problem)
    {
        var before = _problem;
        _problem = problem;
        if (before is null != problem is null)
        {
            Miss(NoticeKinds.All);
        }
    }

    private void Send(NoticeKinds kind, IReadOnlyCollection<string> ids)
    {
        if (kind != NoticeKinds.Work && ids.Count == 0)
        {
            return;
        }

        Receive(kind, ids);
        _relay?.Invoke(kind, ids);
    }

    private void Remove(NoticeSubscription subscription)
    {
        lock (_lock)
        {
            _subscriptions = [.. _subscriptions.Where(other => other != subscription)];
        }
    }
}
