using System.Collections.Concurrent;
using Flint.Data.Queue;

namespace Flint.Data.Tests.Postgres;

/// <summary>
/// Enqueuers and workers as servers have them, which go on through faults of the database; and the record of what they were told, from which <see cref="CheckAsync"/> shows that nothing
/// was lost or doubled.
/// </summary>
internal sealed class QueueLoad(TestStore store)
{
    private readonly IQueueStore _queue = store.Get<IQueueStore>();
    private readonly ConcurrentDictionary<string, int> _acknowledged = new();
    private readonly ConcurrentDictionary<(string Id, long Lease), int> _claims = new();
    private readonly ConcurrentDictionary<string, int> _settled = new();
    private int _faults;

    public int Settled => _settled.Count;

    /// <summary>Exceptions that a caller saw.</summary>
    public int Faults => _faults;

    /// <summary>Runs until <paramref name="ending"/> fires; then enqueuers stop and workers work off what there is.</summary>
    public Task RunAsync(CancellationToken ending) => Task.WhenAll(
        [.. Enumerable.Range(0, 3).Select(n => Task.Run(() => EnqueueAsync(n, ending))), .. Enumerable.Range(0, 3).Select(_ => Task.Run(() => WorkAsync(ending)))]);

    public async Task CheckAsync()
    {
        (await _queue.DepthAsync(null, 1000, default)).ShouldBe(new QueueDepth(0, 0, 0, null));
        _claims.Values.ShouldAllBe(times => times == 1, "a lease was given twice");
        _settled.Values.ShouldAllBe(times => times == 1, "an item was finished twice");
        foreach (var id in _acknowledged.Keys)
        {
            var record = await store.Invocations.GetAsync("default", id, default);
            record.ShouldNotBeNull("an acknowledged item is gone");
            record.Status.ShouldBe("COMPLETED");
        }
    }

    private async Task EnqueueAsync(int n, CancellationToken ending)
    {
        while (!ending.IsCancellationRequested)
        {
            // Some with limits and keys, so that every kind of row is at stake.
            var entries = QueueRows.Entries(10, lane: $"lane{n}").Select((entry, i) => i < 5 ? entry : entry with
            {
                Lane = "limited",
                Limits = new LaneLimits(5, null),
                IdempotencyKey = entry.Row.Id,
                Fingerprint = new byte[32],
                Tags = ["t"],
            }).ToList();
            var results = await InsistAsync(() => _queue.EnqueueAsync(entries, default));
            results.ShouldAllBe(result => result.Outcome == EnqueueOutcome.Added);
            entries.ForEach(entry => _acknowledged[entry.Row.Id] = 1);
        }
    }

    private async Task WorkAsync(CancellationToken ending)
    {
        var worker = QueueRows.Worker();
        await InsistAsync(() => RegisterAsync(worker));
        while (true)
        {
            var claimed = await InsistAsync(() => _queue.ClaimAsync(new(worker.Id, 12), default));
            claimed.LeaseHeld.ShouldBeTrue();
            foreach (var item in claimed.Items)
            {
                _claims.AddOrUpdate((item.Id, item.LeaseNo), 1, (_, times) => times + 1);
            }

            var ended = ending.IsCancellationRequested;
            await SettleAsync(claimed.Items);
            await ReleaseUnknownAsync(worker);
            if (ended && claimed.Items.Count == 0 && await InsistAsync(IsEmptyAsync))
            {
                return;
            }
        }
    }

    private async Task SettleAsync(IReadOnlyList<ClaimedItem> items)
    {
        var settlements = items.Select((item, i) => (i % 5) switch
        {
            3 when item.LeaseNo == 1 => new Settlement.Retry(item.TenantId, item.Id, item.LeaseNo, TimeSpan.FromMilliseconds(2), true, "[]"),
            4 when item.LeaseNo == 1 => (Settlement)new Settlement.Release(item.TenantId, item.Id, item.LeaseNo),
            _ => QueueRows.Finished(item),
        }).ToList();
        var held = await InsistAsync(() => _queue.SettleAsync(settlements, default));
        for (var i = 0; i < held.Count; i++)
        {
            if (held[i] && settlements[i] is Settlement.Finished)
            {
                _settled.AddOrUpdate(settlements[i].Id, 1, (_, times) => times + 1);
            }
        }
    }

    /// <summary>As a worker does with each renewal: what it does not know came of a claim whose answer was lost. It knows of nothing here.</summary>
    private async Task ReleaseUnknownAsync(WorkerInfo worker)
    {
        var renewal = await InsistAsync(() => _queue.RenewAsync(worker, TimeSpan.FromMinutes(10), default));
        renewal.Held.ShouldBeTrue();
        if (renewal.Items.Count > 0)
        {
            await InsistAsync(() => _queue.SettleAsync([.. renewal.Items.Select(item => new Settlement.Release(item.TenantId, item.Id, item.LeaseNo))], default));
        }
    }

    private async Task<bool> IsEmptyAsync() => await _queue.DepthAsync(null, 1, default) is { Waiting: 0, Delayed: 0, Running: 0 };

    private async Task<bool> RegisterAsync(WorkerInfo worker)
    {
        await _queue.RegisterAsync(worker, TimeSpan.FromMinutes(10), default);
        return true;
    }

    /// <summary>Again and again, as callers do: all of it is safe to repeat.</summary>
    private async Task<T> InsistAsync<T>(Func<Task<T>> work)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(90));
        while (true)
        {
            try
            {
                return await work();
            }
            catch (DatabaseException) when (!limit.IsCancellationRequested)
            {
                Interlocked.Increment(ref _faults);
            }
        }
    }
}
