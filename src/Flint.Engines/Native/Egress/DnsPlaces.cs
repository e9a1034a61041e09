using System.Net;

namespace Flint.Engines.Native.Egress;

/// <summary>
/// How many questions are under way, and whose. A sandbox has so many at most, and a function, whatever the number of its sandboxes, a quarter of what is free: one
/// alone has a fifth of all, and dozens must come before one finds nothing. Who has more than a quarter of what is left now gets no more until it has less, so that what
/// ends is free for others. Thread-safe.
/// </summary>
/// <param name="total">Of all sandboxes.</param>
/// <param name="perSandbox">Of one.</param>
/// <param name="askers">Says which sandboxes are of one function.</param>
internal sealed class DnsPlaces(int total, int perSandbox, DnsAskers askers)
{
    private const int ShareOfFree = 4;
    private readonly Lock _lock = new();
    private readonly Dictionary<IPAddress, int> _sandboxes = [];
    private readonly Dictionary<string, int> _functions = new(StringComparer.Ordinal);
    private int _taken;

    /// <summary>Places under way.</summary>
    public int Taken
    {
        get
        {
            lock (_lock)
            {
                return _taken;
            }
        }
    }

    /// <summary>A place, to be left once; null when there is none for this sandbox now.</summary>
    public DnsPlace? TryEnter(IPAddress sandbox)
    {
        var function = askers.Of(sandbox);
        lock (_lock)
        {
            var own = _sandboxes.GetValueOrDefault(sandbox);
            var functions = _functions.GetValueOrDefault(function);
            if (own >= perSandbox || functions * ShareOfFree >= total - _taken)
            {
                return null;
            }

            _sandboxes[sandbox] = own + 1;
            _functions[function] = functions + 1;
            _taken++;
            return new DnsPlace(sandbox, function);
        }
    }

    public void Leave(DnsPlace place)
    {
        lock (_lock)
        {
            LeaveOne(_sandboxes, place.Sandbox);
            LeaveOne(_functions, place.Function);
            _taken--;
        }
    }

    private static void LeaveOne<T>(Dictionary<T, int> counts, T key)
        where T : notnull
    {
        if (--counts[key] == 0)
        {
            counts.Remove(key);
        }
    }
}
