using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;

namespace Flint.Bench.Load;

/// <summary>Looks at a checked answer's body, which it must not keep, and at what it took.</summary>
internal delegate void AnswerHook(ReadOnlySpan<byte> body, double milliseconds);

/// <summary>
/// Closed-loop load on keep-alive connections from the calling thread: one poll(2) loop without allocations, so that the generator
/// takes as little as can be from the machine that it shares with the server.
/// </summary>
internal sealed partial class HttpLoad(int port, HttpWorkload workload)
{
    private const short PollIn = 1;
    private const int StallMs = 30_000;
    private long _sequence;

    /// <summary>Throws <see cref="BenchException"/> at the first wrong, failed or missing answer.</summary>
    public LoadResult Run(LoadBounds bounds, AnswerHook? hook = null, CancellationToken cancellationToken = default)
    {
        LoadConnection[] connections = new LoadConnection[bounds.Parallel];
        try
        {
            for (int index = 0; index < connections.Length; index++)
            {
                connections[index] = new LoadConnection(new IPEndPoint(IPAddress.Loopback, port), workload.RequestLength);
            }
            return Loop(connections, bounds, hook, cancellationToken);
        }
        finally
        {
            foreach (LoadConnection? connection in connections)
            {
                connection?.Dispose();
            }
        }
    }

    private LoadResult Loop(LoadConnection[] connections, LoadBounds bounds, AnswerHook? hook, CancellationToken cancellationToken)
    {
        PollDescriptor[] polled = new PollDescriptor[connections.Length];
        Latencies latencies = new(1 << 20);
        long begin = Stopwatch.GetTimestamp();
        long end = begin + (long)(bounds.Duration.TotalSeconds * Stopwatch.Frequency);
        long last = begin;
        long lastSequence = bounds.MaxRequests == int.MaxValue ? long.MaxValue : _sequence + bounds.MaxRequests;
        int active = 0;
        for (int index = 0; index < connections.Length; index++)
        {
            polled[index] = new PollDescriptor { Descriptor = -1, Events = PollIn };
            if (_sequence < lastSequence)
            {
                polled[index].Descriptor = connections[index].Descriptor;
                connections[index].Send(workload, _sequence++, Stopwatch.GetTimestamp());
                active++;
            }
        }
        while (active > 0)
        {
            Wait(polled);
            cancellationToken.ThrowIfCancellationRequested();
            for (int index = 0; index < polled.Length; index++)
            {
                LoadConnection connection = connections[index];
                if (polled[index].Returned == 0 || !connection.Receive())
                {
                    continue;
                }
                last = Stopwatch.GetTimestamp();
                latencies.Add(last - connection.SentAt);
                Check(connection, last - connection.SentAt, hook);
                if (last < end && _sequence < lastSequence)
                {
                    connection.Send(workload, _sequence++, Stopwatch.GetTimestamp());
                }
                else
                {
                    polled[index].Descriptor = -1;
                    active--;
                }
            }
        }
        return new LoadResult(latencies, Stopwatch.GetElapsedTime(begin, last));
    }

    private void Check(LoadConnection connection, long took, AnswerHook? hook)
    {
        if (!workload.IsAnswer(connection.Body, connection.Sequence))
        {
            throw new BenchException($"request {connection.Sequence} got a wrong answer: {connection.BodyText}");
        }
        hook?.Invoke(connection.Body, took * 1000.0 / Stopwatch.Frequency);
    }

    private static void Wait(PollDescriptor[] polled)
    {
        int ready;
        do
        {
            ready = Poll(polled, (nuint)polled.Length, StallMs);
        }
        while (ready < 0 && Marshal.GetLastPInvokeError() == Interrupted);
        if (ready <= 0)
        {
            throw new BenchException(ready == 0 ? $"no answer for {StallMs} ms" : $"poll failed: errno {Marshal.GetLastPInvokeError()}");
        }
    }

    private const int Interrupted = 4;

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll([In, Out] PollDescriptor[] descriptors, nuint count, int timeoutMs);
}
