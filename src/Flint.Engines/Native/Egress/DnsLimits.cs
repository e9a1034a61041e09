using System.Net;

namespace Flint.Engines.Native.Egress;

/// <summary>How many questions each sandbox has under way, so that one does not take every place. Thread-safe.</summary>
internal sealed class DnsLimits(int perSource)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<IPAddress, int> _underWay = [];

    /// <summary>Sandboxes that have any under way.</summary>
    public int Sources
    {
        get
        {
            lock (_lock)
            {
                return _underWay.Count;
            }
        }
    }

    public bool TryEnter(IPAddress source)
    {
        lock (_lock)
        {
            var count = _underWay.GetValueOrDefault(source);
            if (count >= perSource)
            {
                return false;
            }

            _underWay[source] = count + 1;
            return true;
        }
    }

    public void Leave(IPAddress source)
    {
        lock (_lock)
        {
            if (_underWay[source] == 1)
            {
                _underWay.Remove(source);
            }
            else
            {
                _underWay[source]--;
            }
        }
    }
}
