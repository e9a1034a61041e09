using System.Diagnostics;

namespace Flint.Bench.Load;

/// <summary>Starts one process after the other, as a job runner without Flint would, and checks what each prints.</summary>
internal sealed class ProcessLoad(string file, Func<long, IReadOnlyList<string>> arguments, Func<long, string> expected)
{
    private long _sequence;

    public async Task<LoadResult> RunAsync(LoadBounds bounds, CancellationToken cancellationToken)
    {
        Latencies latencies = new();
        long begin = Stopwatch.GetTimestamp();
        Task[] lanes = new Task[bounds.Parallel];
        for (int lane = 0; lane < lanes.Length; lane++)
        {
            lanes[lane] = RunLaneAsync(bounds, begin, latencies, cancellationToken);
        }
        await Task.WhenAll(lanes);
        return new LoadResult(latencies, Stopwatch.GetElapsedTime(begin));
    }

    private async Task RunLaneAsync(LoadBounds bounds, long begin, Latencies latencies, CancellationToken cancellationToken)
    {
        while (Stopwatch.GetElapsedTime(begin) < bounds.Duration)
        {
            long sequence = Interlocked.Increment(ref _sequence);
            if (sequence > bounds.MaxRequests)
            {
                return;
            }
            long started = Stopwatch.GetTimestamp();
            await RunOneAsync(sequence, cancellationToken);
            long took = Stopwatch.GetTimestamp() - started;
            lock (latencies)
            {
                latencies.Add(took);
            }
        }
    }

    private async Task RunOneAsync(long sequence, CancellationToken cancellationToken)
    {
        ProcessStartInfo start = new(file, arguments(sequence)) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process process = Process.Start(start) ?? throw new BenchException($"{file} did not start");
        Task<string> errors = process.StandardError.ReadToEndAsync(cancellationToken);
        string output = await process.StandardOutput.ReadToEndAsync(cancellationToken);
        await process.WaitForExitAsync(cancellationToken);
        if (process.ExitCode != 0 || output.Trim() != expected(sequence))
        {
            throw new BenchException($"{file} ended with {process.ExitCode} and printed '{output.Trim()}': {(await errors).Trim()}");
        }
    }
}
