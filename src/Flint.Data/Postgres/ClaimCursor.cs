namespace Flint.Data.Postgres;

/// <summary>Where this server's claims go on around tenants and lanes. Forgetting it is no harm: the turn begins anew. Thread-safe.</summary>
internal sealed class ClaimCursor
{
    // It goes with every claim.
    private const int MostTenants = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, string> _lanes = new(StringComparer.Ordinal);
    private string _tenant = "";

    /// <summary>The tenant and, of each that is known, the lane after which the next claim begins.</summary>
    public (string Tenant, IReadOnlyList<(string Tenant, string Lane)> Lanes) Read()
    {
        lock (_lock)
        {
            return (_tenant, [.. _lanes.Select(pair => (pair.Key, pair.Value))]);
        }
    }

    /// <summary>The next claim goes on behind what the round was shared to.</summary>
    public void Advance(ClaimRound round)
    {
        lock (_lock)
        {
            _tenant = round.LastTenant ?? _tenant;
            foreach (var (tenant, lane) in round.LastLanes)
            {
                if (_lanes.Count >= MostTenants && !_lanes.ContainsKey(tenant))
                {
                    _lanes.Clear();
                }

                _lanes[tenant] = lane;
            }
        }
    }
}
