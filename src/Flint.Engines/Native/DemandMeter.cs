namespace Flint.Engines.Native;

/// <summary>How often something was asked for lately, counted in seconds. Not thread-safe.</summary>
internal sealed class DemandMeter(TimeProvider time)
{
    private long _second = time.GetTimestamp();
    private int _now;
    private int _before;
    private long _last = time.GetTimestamp();

    public void Count(long now)
    {
        Turn(now);
        _now++;
        _last = now;
    }

    /// <summary>A tenth of what was asked for in the busier of this second and the one before.</summary>
    public int InTenthOfSecond(long now)
    {
        Turn(now);
        return (Math.Max(_now, _before) + 9) / 10;
    }

    public TimeSpan IdleFor(long now) => time.GetElapsedTime(_last, now);

    private void Turn(long now)
    {
        var seconds = (now - _second) / time.TimestampFrequency;
        if (seconds > 0)
        {
            (_before, _now) = (seconds == 1 ? _now : 0, 0);
            _second += seconds * time.TimestampFrequency;
        }
    }
}
