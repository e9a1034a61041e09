namespace Flint.Server.Queue.Workers;

/// <summary>
/// A token bucket for starts: it holds one second's worth at most, so a worker that was idle may begin so many at once. Used by one thread at a time.
/// </summary>
/// <param name="perSecond">0: no limit.</param>
internal sealed class StartBucket(int perSecond, TimeProvider time)
{
    private double _tokens = perSecond;
    private long _filledAt = time.GetTimestamp();

    /// <summary>How many may begin now.</summary>
    public int Available()
    {
        if (perSecond == 0)
        {
            return int.MaxValue;
        }

        var now = time.GetTimestamp();
        _tokens = Math.Min(perSecond, _tokens + (time.GetElapsedTime(_filledAt, now).TotalSeconds * perSecond));
        _filledAt = now;
        // A hair more than was added, so that a sum of fractions that should be whole is.
        return (int)(_tokens + 1e-9);
    }

    /// <summary>So many began.</summary>
    public void Take(int count) => _tokens -= perSecond == 0 ? 0 : count;

    /// <summary>Until another may begin, after <see cref="Available"/> said none.</summary>
    public TimeSpan UntilNext => TimeSpan.FromSeconds(Math.Max(0, 1 - _tokens) / Math.Max(1, perSecond));
}
