using Flint.Data;
using Flint.Data.Queue;

namespace Flint.Server.Queue;

/// <summary>
/// Takes enqueues that come together to the database together: the first goes at once, and those that come while it is under way go with the next. What is enqueued is durable when its task
/// completes. Thread-safe.
/// </summary>
internal sealed partial class QueueWriter(IQueueStore store, ILogger<QueueWriter> log)
{
    /// <summary>In one call of the store.</summary>
    private const int BatchEntries = 256;
    private const long BatchBytes = 4L * 1024 * 1024;

    /// <summary>What waits for the call that is under way; whoever comes beyond it waits for room.</summary>
    private const int WaitingEntries = 4096;
    private const long WaitingBytes = 64L * 1024 * 1024;

    private readonly Lock _lock = new();
    private readonly Queue<Pending> _waiting = new();
    private long _waitingBytes;
    private bool _writing;

    /// <summary>Completes when there may be room; null while there is.</summary>
    private TaskCompletionSource? _room;

    /// <summary>After each commit, on the thread that saw it: must neither block nor throw.</summary>
    public event Action? Committed;

    /// <summary>Commits the entry. Throws <see cref="DatabaseException"/> when the database cannot work; whether it was committed is unknown then, and repeating it is safe.</summary>
    public async Task<EnqueueResult> EnqueueAsync(QueueEntry entry, CancellationToken cancellationToken)
    {
        var pending = new Pending(entry);
        while (!TryAdd(pending, out var room))
        {
            await room!.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        // Once it is in, it is written whatever becomes of its caller: its neighbours are in the same call.
        return await pending.Task.ConfigureAwait(false);
    }

    /// <summary>Commits all entries in one transaction, in a call of their own.</summary>
    public async Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        var results = await store.EnqueueAsync(entries, cancellationToken).ConfigureAwait(false);
        Committed?.Invoke();
        return results;
    }

    private bool TryAdd(Pending pending, out Task? room)
    {
        room = null;
        bool begins;
        lock (_lock)
        {
            if (_waiting.Count >= WaitingEntries || (_waitingBytes > 0 && _waitingBytes + pending.Bytes > WaitingBytes))
            {
                _room ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                room = _room.Task;
                return false;
            }

            _waiting.Enqueue(pending);
            _waitingBytes += pending.Bytes;
            begins = !_writing;
            _writing = true;
        }

        if (begins)
        {
            _ = WriteAllAsync();
        }

        return true;
    }

    /// <summary>Writes until nothing waits. Never throws: every fault is somebody's.</summary>
    private async Task WriteAllAsync()
    {
        while (Take() is { } batch)
        {
            await WriteAsync(batch).ConfigureAwait(false);
        }
    }

    private List<Pending>? Take()
    {
        TaskCompletionSource? room;
        List<Pending>? batch = null;
        lock (_lock)
        {
            if (_waiting.Count == 0)
            {
                _writing = false;
                return null;
            }

            batch = new List<Pending>(Math.Min(_waiting.Count, BatchEntries));
            for (var bytes = 0L; batch.Count < BatchEntries && _waiting.TryPeek(out var next) && (bytes == 0 || bytes + next.Bytes <= BatchBytes);)
            {
                _waiting.Dequeue();
                batch.Add(next);
                bytes += next.Bytes;
                _waitingBytes -= next.Bytes;
            }

            room = _room;
            _room = null;
        }

        room?.SetResult();
        return batch;
    }

    private async Task WriteAsync(List<Pending> batch)
    {
        try
        {
            Settle(batch, await store.EnqueueAsync([.. batch.Select(static pending => pending.Entry)], CancellationToken.None).ConfigureAwait(false));
        }
        catch (Exception exception) when (batch.Count > 1)
        {
            LogBatch(batch.Count, exception.Message);
            await WriteSinglyAsync(batch).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            batch[0].SetException(exception);
        }
    }

    /// <summary>One entry may be what the batch failed over; the others must not pay for it. A database that fails twice in a row is not asked for the rest.</summary>
    private async Task WriteSinglyAsync(List<Pending> batch)
    {
        var failures = 0;
        foreach (var pending in batch)
        {
            if (failures > 1)
            {
                pending.SetException(new DatabaseException("The database failed while this and others were to be enqueued."));
                continue;
            }

            try
            {
                Settle([pending], await store.EnqueueAsync([pending.Entry], CancellationToken.None).ConfigureAwait(false));
                failures = 0;
            }
            catch (Exception exception)
            {
                failures = exception is DatabaseException ? failures + 1 : 0;
                pending.SetException(exception);
            }
        }
    }

    private void Settle(List<Pending> batch, IReadOnlyList<EnqueueResult> results)
    {
        Committed?.Invoke();
        for (var i = 0; i < batch.Count; i++)
        {
            batch[i].SetResult(results[i]);
        }
    }

    /// <summary>An entry and whoever waits for it.</summary>
    private sealed class Pending(QueueEntry entry) : TaskCompletionSource<EnqueueResult>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public QueueEntry Entry => entry;

        public long Bytes { get; } = 1024 + (entry.Row.Payload?.Length ?? 0) + (entry.Source?.Length ?? 0) + (2L * entry.WorkJson.Length);
    }

    [LoggerMessage(2501, LogLevel.Warning, "{Count} enqueues failed together and are tried one by one: {Reason}")]
    private partial void LogBatch(int count, string reason);
}
