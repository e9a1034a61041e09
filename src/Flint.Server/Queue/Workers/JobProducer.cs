using Flint.Data.Queue;
using Flint.Runtime.Loops;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Claims as many items as there are free places and hands them out, in their order. Woken by what may have made something claimable; between two wake-ups it looks when something becomes due, and at every
/// poll, so that a lost notice costs time and nothing else.
/// </summary>
internal sealed class JobProducer : BackgroundLoop
{
    /// <summary>A claim's own limit.</summary>
    private const int MostPerClaim = 1000;

    /// <summary>What is due now and could not be claimed all the same is not asked for without a pause.</summary>
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(1);

    private readonly IQueueStore _store;
    private readonly WorkerLease _lease;
    private readonly RunningItems _running;
    private readonly WorkerPlaces _places;
    private readonly StartBucket _starts;
    private readonly WorkerSettings _settings;
    private readonly Action<RunningItem> _begin;
    /// <summary>The last claim brought all that was asked for: more may wait, so a place that becomes free is worth a claim.</summary>
    private volatile bool _more;

    /// <param name="begin">Runs an item; returns at once.</param>
    public JobProducer(
        IQueueStore store, WorkerLease lease, RunningItems running, WorkerPlaces places, StartBucket starts, WorkerSettings settings, Action<RunningItem> begin,
        TimeProvider time, ILogger<JobProducer> log)
        : base("job-producer", settings.Poll, time, log)
    {
        _store = store;
        _lease = lease;
        _running = running;
        _places = places;
        _starts = starts;
        _settings = settings;
        _begin = begin;
        lease.Ready = Wake;
        running.PlaceFreed = OnPlaceFreed;
    }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        if (_lease.Draining || _lease.Term is not { } term)
        {
            // Woken when that changes.
            return new LoopRun(0);
        }

        var asked = Math.Min(Free(), MostPerClaim);
        if (asked <= 0)
        {
            _more = true;
            return new LoopRun(0, _places.IsShrunk ? WorkerPlaces.Fresh : null);
        }

        asked = Math.Min(asked, _starts.Available());
        if (asked == 0)
        {
            return new LoopRun(0, _starts.UntilNext);
        }

        // Before the claim: a place that becomes free while it is under way wakes the loop again.
        _more = true;
        var claim = await _store.ClaimAsync(new ClaimRequest(term.WorkerId, asked), cancellationToken);
        if (!claim.LeaseHeld)
        {
            _lease.Lose(term);
            return new LoopRun(0);
        }

        _starts.Take(claim.Items.Count);
        foreach (var item in claim.Items)
        {
            _begin(new RunningItem(item, term));
        }

        _more = claim.Items.Count == asked;
        return new LoopRun(claim.Items.Count, Next(claim));
    }

    /// <summary>
    /// Places that nothing has. Runs that are over and not written yet count as far as there are more of them than places: a database that is too slow for what
    /// runs is not given more, and what it has not taken stays bounded.
    /// </summary>
    private int Free()
    {
        var places = _places.Now();
        return places - _running.Running - Math.Max(0, _running.Unsettled - places);
    }

    private TimeSpan? Next(ClaimResult claim)
    {
        if (_more)
        {
            // There is more, and places too: at once; without places, when one becomes free.
            return Free() > 0 ? TimeSpan.Zero : _places.IsShrunk ? WorkerPlaces.Fresh : null;
        }

        return claim.NextDue is { } due && due < _settings.Poll ? (due > Shortest ? due : Shortest) : null;
    }

    private void OnPlaceFreed()
    {
        if (_more)
        {
            Wake();
        }
    }
}
