namespace Flint.Server.Queue.Workers;

/// <summary>
/// How many places a worker has under pressure. Memory: halved, down to one. CPU: a quarter less, down to what keeps the cores busy. Without pressure an eighth of
/// the full number comes back at a time. Pure but for the number it keeps; used by one thread at a time.
/// </summary>
internal sealed class PlacesPolicy
{
    /// <summary>Something always waits for a core that is well used; above this nearly everything does, nearly always.</summary>
    private const double CpuStallLimit = 90;

    /// <summary>A tenth of the time spent on waiting for memory is thrashing that has begun.</summary>
    private const double MemoryStallLimit = 10;

    /// <summary>The kernel's averages look back ten seconds: what the last step did is in them only after half of that.</summary>
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(5);

    private readonly int _most;
    private readonly int _leastForCpu;
    private TimeSpan _sinceShrunk = Settling;

    public PlacesPolicy(int most, int leastForCpu)
    {
        _most = most;
        _leastForCpu = leastForCpu;
        Places = most;
    }

    public int Places { get; private set; }

    public bool IsShrunk => Places < _most;

    /// <summary>The places after this reading, which came <paramref name="since"/> the one before.</summary>
    public int Next(HostReading reading, TimeSpan since)
    {
        _sinceShrunk += since;
        var memory = reading.BelowFloor || reading.MemoryStall > MemoryStallLimit;
        var cpu = reading.CpuStall > CpuStallLimit && Places > _leastForCpu;
        if (memory || cpu)
        {
            if (_sinceShrunk >= Settling && Places > 1)
            {
                Places = memory ? Math.Max(1, Places / 2) : Math.Max(_leastForCpu, Places - Math.Max(1, Places / 4));
                _sinceShrunk = TimeSpan.Zero;
            }
        }
        else if (!(reading.CpuStall > CpuStallLimit))
        {
            Places = Math.Min(_most, Places + Math.Max(1, _most / 8));
        }

        return Places;
    }
}
