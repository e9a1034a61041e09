using System.Collections.Concurrent;
using System.Globalization;
using Flint.Data;
using Flint.Data.Queue;
using Flint.Server.Hosting;
using Flint.Server.Services;

namespace Flint.Server.Queue;

/// <summary>
/// Refuses what a tenant's queue has no room for. The database is asked for the depth now and then; in between this server counts what it lets in, and never what goes: so the count is too high rather
/// than too low, and is taken anew before anybody is refused over an old one. Thread-safe.
/// </summary>
internal sealed class QueueRoom(IQueueStore store, QueueOptions options, TimeProvider time)
{
    /// <summary>Other servers fill the queue too; theirs is seen so late.</summary>
    private static readonly TimeSpan Known = TimeSpan.FromSeconds(5);

    /// <summary>A full queue is counted no more often.</summary>
    private static readonly TimeSpan Full = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<string, Depth> _depths = new(StringComparer.Ordinal);

    /// <summary>Takes room for <paramref name="items"/>. Throws <see cref="RefusedException"/> (429), having taken none.</summary>
    public ValueTask TakeAsync(string tenantId, int items, CancellationToken cancellationToken)
    {
        var depth = _depths.GetOrAdd(tenantId, static _ => new Depth());
        var age = depth.Age(time);
        if (age != TimeSpan.MaxValue && depth.TryAdd(items, options.MaxWaiting))
        {
            if (age >= Known && depth.BeginRefresh())
            {
                // Nobody waits for it: there is room by the last count.
                depth.Refresh = RefreshAsync(tenantId, depth);
            }

            return default;
        }

        return age < Full ? throw NoRoom() : new(CountAsync(tenantId, depth, items, cancellationToken));
    }

    private async Task RefreshAsync(string tenantId, Depth depth)
    {
        // Reading the depth may block.
        await SocketThreads.Leave();
        try
        {
            await RecountAsync(tenantId, depth, CancellationToken.None).ConfigureAwait(false);
        }
        catch (DatabaseException)
        {
            // The enqueue that began this tells its caller by itself.
        }
        finally
        {
            depth.EndRefresh();
        }
    }

    private async Task RecountAsync(string tenantId, Depth depth, CancellationToken cancellationToken)
    {
        var before = depth.Added;
        var found = await store.DepthAsync(tenantId, options.MaxWaiting, cancellationToken).ConfigureAwait(false);
        depth.Set((long)found.Waiting + found.Delayed, before, time.GetTimestamp());
    }

    private async Task CountAsync(string tenantId, Depth depth, int items, CancellationToken cancellationToken)
    {
        await SocketThreads.Leave();
        await depth.Counting.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (depth.Age(time) >= Full)
            {
                await RecountAsync(tenantId, depth, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            depth.Counting.Release();
        }

        if (!depth.TryAdd(items, options.MaxWaiting))
        {
            throw NoRoom();
        }
    }

    private RefusedException NoRoom() => new("throttled", $"{options.MaxWaiting} items wait in the queue, as many as may. Try again later.",
        limit: string.Create(CultureInfo.InvariantCulture, $"{options.MaxWaiting} items"), knob: "Flint:Queue:MaxWaiting");

    /// <summary>One tenant's depth, as counted, and what was let in since.</summary>
    private sealed class Depth
    {
        private readonly Lock _lock = new();
        private long _counted;
        private long _added;
        private long _at;
        private bool _known;

        private int _refreshing;

        public SemaphoreSlim Counting { get; } = new(1, 1);

        /// <summary>The last refresh in the background; it never fails.</summary>
        public Task Refresh { get; set; } = Task.CompletedTask;

        public bool BeginRefresh() => Interlocked.Exchange(ref _refreshing, 1) == 0;

        public void EndRefresh() => Volatile.Write(ref _refreshing, 0);

        public long Added
        {
            get
            {
                lock (_lock)
                {
                    return _added;
                }
            }
        }

        /// <summary>Of the last count.</summary>
        public TimeSpan Age(TimeProvider time)
        {
            lock (_lock)
            {
                return _known ? time.GetElapsedTime(_at) : TimeSpan.MaxValue;
            }
        }

        public bool TryAdd(int items, long most)
        {
            lock (_lock)
            {
                if (_counted + _added + items > most)
                {
                    return false;
                }

                _added += items;
                return true;
            }
        }

        /// <summary>What was let in while the count was taken may not be in it.</summary>
        public void Set(long counted, long addedBefore, long at)
        {
            lock (_lock)
            {
                (_counted, _added, _at, _known) = (counted, _added - addedBefore, at, true);
            }
        }
    }
}
