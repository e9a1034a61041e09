namespace Flint.Bench.Load;

/// <summary>What a load run brought; every counted answer was checked.</summary>
/// <param name="Latencies">One entry for each answer.</param>
/// <param name="Elapsed">From the first request to the last answer.</param>
internal sealed record LoadResult(Latencies Latencies, TimeSpan Elapsed)
{
    public double PerSecond => Latencies.Count / Elapsed.TotalSeconds;
}

/// <summary>How much load: ends at whichever bound comes first.</summary>
internal sealed record LoadBounds(int Parallel, TimeSpan Duration, int MaxRequests = int.MaxValue);
