using System.Diagnostics;

namespace Flint.Bench.Load;

/// <summary>Every single latency of a measurement: percentiles are exact, not those of a histogram. For one thread.</summary>
internal sealed class Latencies(int capacity = 1024)
{
    private readonly List<long> _ticks = new(capacity);
    private bool _sorted;

    public int Count => _ticks.Count;

    public void Add(long stopwatchTicks)
    {
        _ticks.Add(stopwatchTicks);
        _sorted = false;
    }

    public void AddMilliseconds(double milliseconds) => Add((long)(milliseconds * Stopwatch.Frequency / 1000));

    /// <summary>The smallest latency that is not exceeded by the given share (0 to 1), in milliseconds; null without any.</summary>
    public double? Percentile(double share)
    {
        if (_ticks.Count == 0)
        {
            return null;
        }
        if (!_sorted)
        {
            _ticks.Sort();
            _sorted = true;
        }
        int rank = Math.Clamp((int)Math.Ceiling(share * _ticks.Count) - 1, 0, _ticks.Count - 1);
        return _ticks[rank] * 1000.0 / Stopwatch.Frequency;
    }
}
