using System.Diagnostics;
using System.Globalization;
using Flint.Data.Queue;

namespace Flint.Data.Tests.Postgres;

/// <summary>
/// <c>Flint.Data.Tests --measure queue-postgres [seconds] [connection string]</c>: what the queue does in batches of 50, as servers send them. No test: it prints.
/// </summary>
internal static class PostgresQueueMeasurement
{
    private const int Batch = 50;

    public static async Task RunAsync(Hosting.DatabaseOptions options, int seconds)
    {
        await using var store = await TestStore.OpenAsync(options);
        var queue = store.Get<IQueueStore>();
        var worker = QueueRows.Worker();
        await queue.RegisterAsync(worker, TimeSpan.FromHours(1), default);
        foreach (var senders in new[] { 1, 4 })
        {
            await EnqueueingAsync(queue, senders, TimeSpan.FromSeconds(1), print: false);
            await EnqueueingAsync(queue, senders, TimeSpan.FromSeconds(seconds), print: true);
        }

        await WorkingOffAsync(queue, worker.Id, claimers: 1, limit: 40_000);
        await WorkingOffAsync(queue, worker.Id, claimers: 4, limit: int.MaxValue);
        await CyclesAsync(queue, worker.Id, seconds);
    }

    private static async Task EnqueueingAsync(IQueueStore queue, int senders, TimeSpan time, bool print)
    {
        var clock = Stopwatch.StartNew();
        var cpu = Process.GetCurrentProcess().TotalProcessorTime;
        var counts = await Task.WhenAll(Enumerable.Range(0, senders).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            for (; clock.Elapsed < time; count += Batch)
            {
                await queue.EnqueueAsync(QueueRows.Entries(Batch), default);
            }

            return count;
        })));
        var used = Process.GetCurrentProcess().TotalProcessorTime - cpu;
        if (print)
        {
            Print($"enqueue, {senders} at a time", counts.Sum(), clock.Elapsed, used);
        }
    }

    private static async Task WorkingOffAsync(IQueueStore queue, string worker, int claimers, int limit)
    {
        var clock = Stopwatch.StartNew();
        var cpu = Process.GetCurrentProcess().TotalProcessorTime;
        var claiming = TimeSpan.Zero;
        var counts = await Task.WhenAll(Enumerable.Range(0, claimers).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            while (count < limit)
            {
                var began = clock.Elapsed;
                var claimed = await queue.ClaimAsync(new ClaimRequest(worker, Batch), default);
                claiming += clock.Elapsed - began;
                if (claimed.Items.Count == 0)
                {
                    break;
                }

                await queue.SettleAsync([.. claimed.Items.Select(item => QueueRows.Finished(item))], default);
                count += claimed.Items.Count;
            }

            return count;
        })));
        var used = Process.GetCurrentProcess().TotalProcessorTime - cpu;
        Print(
            $"claim and settle, {claimers} at a time (claims {(100 * claiming / clock.Elapsed / claimers).ToString("F0", CultureInfo.InvariantCulture)} % of it)",
            counts.Sum(), clock.Elapsed, used);
    }

    /// <summary>Two enqueue, one claims and settles: the whole way of an item.</summary>
    private static async Task CyclesAsync(IQueueStore queue, string worker, int seconds)
    {
        using var ending = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        var backlog = 0;
        var senders = Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            while (!ending.IsCancellationRequested)
            {
                if (Volatile.Read(ref backlog) > 2000)
                {
                    await Task.Delay(1);
                    continue;
                }

                await queue.EnqueueAsync(QueueRows.Entries(Batch), default);
                Interlocked.Add(ref backlog, Batch);
            }
        })).ToList();
        var clock = Stopwatch.StartNew();
        var cpu = Process.GetCurrentProcess().TotalProcessorTime;
        var counts = await Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            var count = 0;
            while (!ending.IsCancellationRequested)
            {
                var claimed = await queue.ClaimAsync(new ClaimRequest(worker, Batch), default);
                await queue.SettleAsync([.. claimed.Items.Select(item => QueueRows.Finished(item))], default);
                Interlocked.Add(ref backlog, -claimed.Items.Count);
                count += claimed.Items.Count;
            }

            return count;
        })));
        var used = Process.GetCurrentProcess().TotalProcessorTime - cpu;
        Print("enqueue, claim and settle together", counts.Sum(), clock.Elapsed, used);
        await Task.WhenAll(senders);
    }

    private static void Print(string what, int count, TimeSpan time, TimeSpan cpu) => Console.WriteLine(string.Create(
        CultureInfo.InvariantCulture, $"{what}: {count / time.TotalSeconds:F0}/s, {cpu.TotalMicroseconds / Math.Max(1, count):F1} us of this process's CPU each ({count})"));
}
