using System.Collections.Concurrent;

namespace Flint.Server.Queue;

/// <summary>Those who wait for invocations to finish, by id. Whoever learns of an end tells it here; who waits looks at the record itself. Thread-safe.</summary>
internal sealed class FinishWaits
{
    private readonly ConcurrentDictionary<string, Waiters> _waiting = new(StringComparer.Ordinal);

    /// <summary>Register before looking at the record, so that no end is missed. Dispose it.</summary>
    public Registration Register(string id)
    {
        while (true)
        {
            var waiters = _waiting.GetOrAdd(id, static _ => new Waiters());
            if (waiters.TryEnter())
            {
                return new Registration(this, id, waiters);
            }
        }
    }

    public bool IsWaitedFor(string id) => _waiting.ContainsKey(id);

    public void Finished(string id)
    {
        if (_waiting.TryGetValue(id, out var waiters))
        {
            waiters.Signal.TrySetResult();
        }
    }

    public void Finished(IReadOnlyList<string> ids)
    {
        if (_waiting.IsEmpty)
        {
            return;
        }

        foreach (var id in ids)
        {
            Finished(id);
        }
    }

    /// <summary>One who waits.</summary>
    internal readonly struct Registration(FinishWaits all, string id, Waiters waiters) : IDisposable
    {
        /// <summary>Completes when the end was told, once.</summary>
        public Task Told => waiters.Signal.Task;

        public void Dispose()
        {
            if (waiters.Leave())
            {
                all._waiting.TryRemove(new KeyValuePair<string, Waiters>(id, waiters));
            }
        }
    }

    /// <summary>All who wait for one id; gone for good when the last has left.</summary>
    internal sealed class Waiters
    {
        private readonly Lock _lock = new();
        private int _count;
        private bool _gone;

        public TaskCompletionSource Signal { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool TryEnter()
        {
            lock (_lock)
            {
                _count += _gone ? 0 : 1;
                return !_gone;
            }
        }

        public bool Leave()
        {
            lock (_lock)
            {
                return _gone = --_count == 0;
            }
        }
    }
}
