using Flint.Data.Queue;

namespace Flint.Data.Postgres;

/// <summary>One round of a claim: how its places are shared among the lanes that were found, and what came of it.</summary>
internal sealed class ClaimRound(int places, int number)
{
    /// <summary>Steps of the walk through a tenant's lanes: closed ones cost a probe each.</summary>
    public const int MostSteps = 256;

    private readonly List<LaneCandidate> _walked = [];
    private readonly List<(string Tenant, string Lane)> _lastLanes = [];
    private readonly List<ClaimedItem> _items = [];
    private TimeSpan? _delayed;
    private bool _cut;

    public int Places => places;

    public int MostTenants { get; } = Math.Min(32, places);

    /// <summary>Of each tenant; four times as many with each round, for then there are few tenants, or small lanes.</summary>
    public int MostLanes { get; } = Math.Min(8 << (2 * (number - 1)), places);

    /// <summary>By the database's clock; what is claimed has this time.</summary>
    public DateTime Now { get; private set; }

    public bool LeaseHeld { get; private set; }

    public IReadOnlyList<LaneCandidate> Walked => _walked;

    /// <summary>Those that are claimed from, in turn.</summary>
    public IReadOnlyList<LaneCandidate> Lanes { get; private set; } = [];

    /// <summary>In the order in which they should begin: the lanes in turn.</summary>
    public IReadOnlyList<ClaimedItem> Items => _items;

    /// <summary>Another round may bring more.</summary>
    public bool More => LeaseHeld && !_cut && (_walked.Exists(lane => lane.Chosen && (!lane.Claimable || lane.MayHaveMore)) || WasCut);

    /// <summary>The least that is known of waits for a time or a rate.</summary>
    public TimeSpan? NextDue
    {
        get
        {
            if (_cut)
            {
                return TimeSpan.Zero;
            }

            var waits = _walked.Select(lane => lane.Open ? lane.WaitAfter : lane.Wait).Append(_delayed).Where(wait => wait is not null).ToList();
            return waits.Count == 0 ? null : TimeSpan.FromTicks(Math.Max(0, waits.Min(wait => wait!.Value.Ticks)));
        }
    }

    /// <summary>The tenant after whose turn the next claim begins; null when none has work.</summary>
    public string? LastTenant { get; private set; }

    /// <summary>Of each tenant, the lane after which the next claim begins.</summary>
    public IReadOnlyList<(string Tenant, string Lane)> LastLanes => _lastLanes;

    // The walk ended where it was told to, not where the lanes do.
    private bool WasCut => _walked.Exists(lane => lane.Turn >= MostTenants || IsCut(lane));

    private bool IsCut(LaneCandidate lane) => lane.Found >= MostLanes || lane.Step >= MostSteps || (lane.Open && !lane.Chosen);

    public void At(DateTime now, bool leaseHeld, TimeSpan? delayed)
    {
        Now = now;
        LeaseHeld = leaseHeld;
        _delayed = delayed;
    }

    public void Add(LaneCandidate lane) => _walked.Add(lane);

    /// <summary>
    /// Shares the places evenly among tenants, and each tenant's among its lanes. The first have what is left over, and the next claim begins after them, so that it is not always the same
    /// ones; unless there is more behind the walk's end.
    /// </summary>
    public void Share()
    {
        var tenants = _walked.GroupBy(lane => lane.Turn).OrderBy(tenant => tenant.Key).Select(tenant => tenant.OrderBy(lane => lane.Step).ToList()).ToList();
        var having = tenants.FindAll(tenant => tenant.Exists(lane => lane.Claimable));
        // Those where nothing may start are passed: what may is behind them.
        _lastLanes.AddRange(tenants.Except(having).Select(tenant => (tenant[0].Tenant, tenant[^1].Lane)));
        foreach (var (tenant, portion) in having.Zip(Parts(places, having.Count)))
        {
            ShareLanes(tenant, portion);
        }

        if (tenants.Count > 0)
        {
            var left = having.Count == 0 || tenants.Count >= MostTenants ? 0 : places % having.Count;
            LastTenant = (left == 0 ? tenants[^1] : having[left - 1])[0].Tenant;
        }

        Lanes = LeaseHeld ? _walked.FindAll(lane => lane.Claimable && lane.Ask > 0) : [];
    }

    private void ShareLanes(List<LaneCandidate> tenant, int portion)
    {
        var lanes = tenant.FindAll(lane => lane.Claimable);
        foreach (var (lane, part) in lanes.Zip(Parts(portion, lanes.Count)))
        {
            lane.Share(part);
        }

        var left = tenant.Exists(IsCut) && portion >= lanes.Count ? 0 : portion % lanes.Count;
        _lastLanes.Add((tenant[0].Tenant, lanes[left == 0 ? ^1 : left - 1].Lane));
    }

    /// <param name="cut">What was found is more than a claim may hold in memory; the rest waits for the next.</param>
    public void Took(int lane, ClaimedItem item, bool cut)
    {
        Lanes[lane].Take();
        _items.Add(item);
        _cut |= cut;
    }

    private static IEnumerable<int> Parts(int whole, int parts) => Enumerable.Range(0, parts).Select(index => (whole / parts) + (index < whole % parts ? 1 : 0));
}
