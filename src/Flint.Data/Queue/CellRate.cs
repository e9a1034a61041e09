namespace Flint.Data.Queue;

/// <summary>
/// The generic cell rate algorithm over a lane's <c>rate_next</c>, in microseconds: the time at which all starts so far would be due if they were spread evenly. A lane
/// that rested may start <see cref="LaneRate.Starts"/> at once, and then one each period / starts.
/// </summary>
internal static class CellRate
{
    /// <summary>How many of <paramref name="wanted"/> may start now, <paramref name="next"/> moved by them; <paramref name="due"/> is when one more may.</summary>
    public static int Take(ref long next, long now, LaneRate rate, int wanted, out long due)
    {
        var (period, interval) = Spread(rate);
        var from = Math.Max(next, now);
        var allowed = (int)Math.Clamp((period - (from - now)) / interval, 0, wanted);
        if (allowed > 0)
        {
            next = from + (allowed * interval);
            from = next;
        }

        due = from + interval - period;
        return allowed;
    }

    private static (long Period, long Interval) Spread(LaneRate rate)
    {
        var interval = Math.Max(1, rate.Period.Ticks / TimeSpan.TicksPerMicrosecond / rate.Starts);
        return (interval * rate.Starts, interval);
    }
}
