using System.Diagnostics;
using Flint.Data.Invocations;
using Flint.Data.Tests.Postgres;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Data.Tests;

/// <summary>
/// <c>Flint.Data.Tests --measure [sqlite|postgres|recording|queue|queue-postgres] [seconds]</c>: history rows per second through the journal, 1 KB of payload and result each,
/// and the memory that took; or what an item costs in the queue. No test: it prints.
/// </summary>
internal static class Measurement
{
    public const string Switch = "--measure";

    public static async Task<int> RunAsync(string[] args)
    {
        var seconds = args.Length > 1 ? int.Parse(args[1], System.Globalization.CultureInfo.InvariantCulture) : 5;
        using var directory = new TempDirectory();
        if (args is ["recording", ..])
        {
            await using var store = await TestStore.OpenAsync(new() { DataPath = directory.Path });
            await RecordingCostAsync(store);
        }
        else if (args is ["queue", ..])
        {
            await using var store = await TestStore.OpenAsync(new() { DataPath = directory.Path });
            await QueueMeasurement.RunAsync(store, seconds);
        }
        else if (args is ["queue-postgres", _, var existing])
        {
            await PostgresQueueMeasurement.RunAsync(new() { DataPath = directory.Path, ConnectionString = existing }, seconds);
        }
        else if (args is ["queue-postgres", ..])
        {
            await using var server = await PostgresServer.StartNewAsync(PostgresServer.FindBin()!);
            await PostgresQueueMeasurement.RunAsync(new() { DataPath = directory.Path, ConnectionString = await server.CreateDatabaseAsync() }, seconds);
        }
        else if (args is ["postgres", ..])
        {
            await using var server = await PostgresServer.StartNewAsync(PostgresServer.FindBin()!);
            await MeasureAsync(new() { DataPath = directory.Path, ConnectionString = await server.CreateDatabaseAsync() }, seconds);
        }
        else
        {
            await MeasureAsync(new() { DataPath = directory.Path }, seconds);
        }

        return 0;
    }

    private static async Task MeasureAsync(Hosting.DatabaseOptions options, int seconds)
    {
        await using var store = await TestStore.OpenAsync(options);
        await store.Journal.RecordAsync(Rows.Invocation(), strict: true, default);
        await AppendingCostAsync(store);
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() => RecordForAsync(store, TimeSpan.FromSeconds(1)))));

        var cpu = Process.GetCurrentProcess().TotalProcessorTime;
        var allocated = GC.GetTotalAllocatedBytes();
        var clock = Stopwatch.StartNew();
        var counts = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => Task.Run(() => RecordForAsync(store, TimeSpan.FromSeconds(seconds)))));
        await store.Journal.RecordAsync(Rows.Invocation(), strict: true, default);
        var elapsed = clock.Elapsed.TotalSeconds;
        var rows = counts.Sum();
        var used = (Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMicroseconds;
        using var process = Process.GetCurrentProcess();
        Console.WriteLine(
            $"{store.Database.Provider}: {rows / elapsed:F0} rows/s, {used / rows:F1} us of CPU and {(GC.GetTotalAllocatedBytes() - allocated) / rows} bytes allocated per row; "
            + $"working set {process.WorkingSet64 >> 20} MB, peak {process.PeakWorkingSet64 >> 20} MB, managed heap {GC.GetTotalMemory(false) >> 20} MB");
    }

    private static async Task<long> RecordForAsync(TestStore store, TimeSpan time)
    {
        var clock = Stopwatch.StartNew();
        var count = 0L;
        for (; clock.Elapsed < time; count++)
        {
            await store.Journal.RecordAsync(NewRow(), strict: false, default);
        }

        return count;
    }

    /// <summary>What a caller pays: a journal that never flushes.</summary>
    private static async Task RecordingCostAsync(TestStore store)
    {
        const int Count = 50_000;
        for (var round = 0; round < 4; round++)
        {
            var options = new JournalOptions { Window = TimeSpan.FromHours(1), BatchRows = 1_000_000, BatchBytes = 1L << 40, MaxRows = 1_000_000, MaxBytes = 1L << 40 };
            var journal = new InvocationJournal(store.Invocations, options, TimeProvider.System, NullLogger<InvocationJournal>.Instance);
            var rows = Enumerable.Range(0, Count).Select(_ => NewRow()).ToArray();
            var clock = Stopwatch.StartNew();
            foreach (var row in rows)
            {
                await journal.RecordAsync(row, strict: false, default);
            }

            Console.WriteLine($"RecordAsync: {clock.Elapsed.TotalMicroseconds / Count:F2} us");
        }
    }

    private static async Task AppendingCostAsync(TestStore store)
    {
        for (var round = 0; round < 3; round++)
        {
            var batches = Enumerable.Range(0, 20).Select(_ => Enumerable.Range(0, 1000).Select(_ => NewRow()).ToList()).ToList();
            var cpu = Process.GetCurrentProcess().TotalProcessorTime;
            var clock = Stopwatch.StartNew();
            foreach (var batch in batches)
            {
                await store.Invocations.AppendAsync(batch, default);
            }

            var used = Process.GetCurrentProcess().TotalProcessorTime - cpu;
            Console.WriteLine($"AppendAsync, 1000 at a time: {20_000 / clock.Elapsed.TotalSeconds:F0} rows/s, {used.TotalMicroseconds / 20_000:F1} us of CPU per row");
        }
    }

    private static InvocationRow NewRow() => Rows.Invocation(TimeProvider.System.GetUtcNow()) with { Payload = new byte[512], Result = new byte[512] };
}
