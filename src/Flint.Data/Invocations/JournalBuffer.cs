namespace Flint.Data.Invocations;

/// <summary>
/// The journal's memory: rows that wait, rows that are being written, and callers that wait for room, in order. Not thread-safe: the
/// journal holds its lock around every call.
/// </summary>
internal sealed class JournalBuffer(JournalOptions options)
{
    // What a row costs beside its payload, result, log and error: the object, its strings and its places here.
    private const int RowOverhead = 1024;

    private readonly Queue<Entry> _waiting = new();
    private readonly Dictionary<(string TenantId, string Id), InvocationRow> _visible = [];
    private readonly LinkedList<RoomWaiter> _roomWaiters = new();
    private int _rows;
    private long _bytes;
    private long _waitingBytes;
    private int _waitingStrict;
    private long? _writingSince;
    private long _roomWaiterBytes;
    private volatile bool _overloaded;

    public int Waiting => _waiting.Count;

    /// <summary>Rows that are not committed, those without room included.</summary>
    public int Rows => _rows + _roomWaiters.Count;

    /// <summary>The time stamp of the oldest row that is not committed; null when there is none.</summary>
    public long? Oldest => _writingSince
        ?? (_waiting.TryPeek(out var entry) ? entry.At : _roomWaiters.First is { } first ? first.Value.At : null);

    /// <summary>True while those who wait for room hold more than <see cref="JournalOptions"/> allows. The one member that needs no lock.</summary>
    public bool IsOverloaded => _overloaded;

    /// <summary>Nothing waits and nobody waits for room.</summary>
    public bool IsEmpty => _waiting.Count == 0 && _roomWaiters.Count == 0;

    /// <summary>True when the next batch should not wait for the window's end.</summary>
    public bool BatchIsFull =>
        _waitingStrict > 0 || _roomWaiters.Count > 0 || _waiting.Count >= options.BatchRows || _waitingBytes >= options.BatchBytes;

    public bool HasRoomFor(long size) =>
        _roomWaiters.Count == 0 && (_rows == 0 || (_rows < options.MaxRows && _bytes + size <= options.MaxBytes));

    public static long SizeOf(InvocationRow row) =>
        RowOverhead + (row.Payload?.Length ?? 0) + (row.Result?.Length ?? 0) + (row.Log?.Length ?? 0) + (2L * (row.ErrorJson?.Length ?? 0));

    /// <summary>Adds a row. <paramref name="committed"/> is completed when it is committed; null when nobody waits for that.</summary>
    /// <param name="at">The clock's time stamp when the caller came.</param>
    public void Add(InvocationRow row, long size, TaskCompletionSource? committed, long at)
    {
        _waiting.Enqueue(new Entry(row, size, committed, at));
        _visible.TryAdd((row.TenantId, row.Id), row);
        _rows++;
        _bytes += size;
        _waitingBytes += size;
        _waitingStrict += committed is null ? 0 : 1;
    }

    public LinkedListNode<RoomWaiter> AddRoomWaiter(RoomWaiter waiter)
    {
        var node = _roomWaiters.AddLast(waiter);
        CountRoomWaiters(waiter.Size);
        return node;
    }

    /// <summary>Forgets a caller that waits no longer; one that was admitted is not there any more.</summary>
    public void RemoveRoomWaiter(LinkedListNode<RoomWaiter> waiter)
    {
        if (waiter.List is not null)
        {
            _roomWaiters.Remove(waiter);
            CountRoomWaiters(-waiter.Value.Size);
        }
    }

    /// <summary>The next batch, oldest first; it stays visible until <see cref="Committed"/>.</summary>
    public List<Entry> TakeBatch()
    {
        var batch = new List<Entry>(Math.Min(_waiting.Count, options.BatchRows));
        var bytes = 0L;
        while (batch.Count < options.BatchRows && bytes < options.BatchBytes && _waiting.TryDequeue(out var entry))
        {
            batch.Add(entry);
            bytes += entry.Size;
            _waitingStrict -= entry.Committed is null ? 0 : 1;
        }

        _waitingBytes -= bytes;
        _writingSince = batch.Count > 0 ? batch[0].At : null;
        return batch;
    }

    /// <summary>Forgets a batch that the store has, and lets in those who waited for its room.</summary>
    public void Committed(List<Entry> batch)
    {
        foreach (var entry in batch)
        {
            _visible.Remove((entry.Row.TenantId, entry.Row.Id));
            _rows--;
            _bytes -= entry.Size;
        }

        _writingSince = null;
        while (_roomWaiters.First is { } first)
        {
            var waiter = first.Value;
            _roomWaiters.RemoveFirst();
            if (!HasRoomAfter(waiter))
            {
                _roomWaiters.AddFirst(first);
                return;
            }

            CountRoomWaiters(-waiter.Size);
            if (waiter.Admitted.TrySetResult())
            {
                Add(waiter.Row, waiter.Size, waiter.Committed, waiter.At);
            }
        }
    }

    /// <summary>Ends the wait of all who have no room.</summary>
    public void RefuseRoomWaiters(Exception exception)
    {
        foreach (var waiter in _roomWaiters)
        {
            waiter.Admitted.TrySetException(exception);
        }

        _roomWaiters.Clear();
        CountRoomWaiters(-_roomWaiterBytes);
    }

    public InvocationRow? Find(string tenantId, string id) => _visible.GetValueOrDefault((tenantId, id));

    public List<InvocationRow> Match(Func<InvocationRow, bool> filter) => _visible.Values.Where(filter).ToList();

    private bool HasRoomAfter(RoomWaiter waiter) => _rows == 0 || (_rows < options.MaxRows && _bytes + waiter.Size <= options.MaxBytes);

    private void CountRoomWaiters(long bytes)
    {
        _roomWaiterBytes += bytes;
        _overloaded = _roomWaiterBytes > options.MaxRoomWaiterBytes || _roomWaiters.Count > options.MaxRoomWaiters;
    }

    internal readonly record struct Entry(InvocationRow Row, long Size, TaskCompletionSource? Committed, long At);

    /// <summary>A caller without room. <see cref="Admitted"/> is cancelled by its token, or completed when its row has been added for it.</summary>
    internal sealed record RoomWaiter(InvocationRow Row, long Size, TaskCompletionSource? Committed, TaskCompletionSource Admitted, long At);
}
