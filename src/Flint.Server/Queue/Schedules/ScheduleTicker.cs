using Flint.Data.Catalog;
using Flint.Data.Model;
using Flint.Data.Queue;
using Flint.Runtime.Loops;
using Flint.Server.Services;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Queue.Schedules;

/// <summary>
/// Enqueues what is due, then sets the next due time where it is still the old one. A server that dies in between, and others that do the same at once, repeat the first step to no effect: the run's
/// idempotency key has the schedule's id and the due time in it.
/// </summary>
internal sealed partial class ScheduleTicker : BackgroundLoop
{
    /// <summary>Schedules in one go.</summary>
    private const int PageSize = 200;

    /// <summary>Entries in one transaction.</summary>
    private const int Batch = 100;

    /// <summary>Another server may have set a schedule, and a clock may be set: looked again after this at the latest.</summary>
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    private readonly ICatalogStore _catalog;
    private readonly QueueWriter _queue;
    private readonly ScheduleTargets _targets;
    private readonly TimeSpan _missedAfter;
    private readonly ILogger _log;

    public ScheduleTicker(ICatalogStore catalog, QueueWriter queue, ScheduleTargets targets, ScheduleOptions options, TimeProvider time, ILogger<ScheduleTicker> log)
        : base("schedule-ticker", Longest, time, log)
    {
        _catalog = catalog;
        _queue = queue;
        _targets = targets;
        _missedAfter = TimeSpan.FromMilliseconds(options.MissedAfterMs);
        _log = log;
    }

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var now = Time.Now();
        var due = await _catalog.ReadAsync(
            (db, token) => db.Schedules.Where(s => s.NextAt <= now).OrderBy(s => s.NextAt).ThenBy(s => s.Id).Take(PageSize).ToListAsync(token), cancellationToken).ConfigureAwait(false);
        var turns = new List<Turn>(due.Count);
        foreach (var schedule in due)
        {
            turns.Add(await TurnAsync(schedule, now, cancellationToken).ConfigureAwait(false));
        }

        var ids = await EnqueueAsync(turns, cancellationToken).ConfigureAwait(false);
        if (turns.Count > 0)
        {
            await _catalog.WriteAsync((db, token) => SetOnAsync(db, turns, ids, token), cancellationToken).ConfigureAwait(false);
        }

        return new LoopRun(turns.Count, await NextInAsync(cancellationToken).ConfigureAwait(false));
    }

    private async Task<Turn> TurnAsync(ScheduleEntity schedule, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var plan = DuePlan.Of(schedule, now, _missedAfter);
        var (entries, error) = (new List<QueueEntry>(plan.Runs.Count), plan.Error);
        foreach (var run in plan.Runs)
        {
            var (entry, wrong) = await _targets.MakeAsync(schedule, run, cancellationToken).ConfigureAwait(false);
            error ??= wrong;
            if (entry is not null)
            {
                entries.Add(entry);
            }
        }

        if (error is not null)
        {
            LogWrong(_log, schedule.Name, error);
        }

        return new Turn(schedule, plan, entries, error);
    }

    /// <summary>The ids of the turns' last runs.</summary>
    private async Task<Dictionary<Turn, string>> EnqueueAsync(List<Turn> turns, CancellationToken cancellationToken)
    {
        var ids = new Dictionary<Turn, string>();
        foreach (var batch in turns.SelectMany(turn => turn.Entries.Select(entry => (turn, entry))).Chunk(Batch))
        {
            var results = await _queue.EnqueueAsync([.. batch.Select(pair => pair.entry)], cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < batch.Length; i++)
            {
                ids[batch[i].turn] = results[i].Id;
            }
        }

        return ids;
    }

    private static async Task<int> SetOnAsync(Data.FlintDbContext db, List<Turn> turns, Dictionary<Turn, string> ids, CancellationToken cancellationToken)
    {
        var set = 0;
        foreach (var turn in turns)
        {
            var (schedule, ran) = (turn.Schedule, ids.GetValueOrDefault(turn));
            var lastAt = ran is null ? schedule.LastAt : turn.Plan.Runs[^1];
            // Nor when it was changed meanwhile: the new times are counted from the change.
            set += await db.Schedules
                .Where(s => s.TenantId == schedule.TenantId && s.Id == schedule.Id && s.RevisionId == schedule.RevisionId && s.NextAt == schedule.NextAt)
                .ExecuteUpdateAsync(row => row
                    .SetProperty(s => s.NextAt, turn.Plan.Next)
                    .SetProperty(s => s.LastAt, lastAt)
                    .SetProperty(s => s.LastInvocationId, ran ?? schedule.LastInvocationId)
                    .SetProperty(s => s.LastError, turn.Error), cancellationToken).ConfigureAwait(false);
        }

        return set;
    }

    private async Task<TimeSpan> NextInAsync(CancellationToken cancellationToken)
    {
        var next = await _catalog.ReadAsync((db, token) => db.Schedules.MinAsync(s => s.NextAt, token), cancellationToken).ConfigureAwait(false);
        var left = next - Time.GetUtcNow();
        return left is not { } wait || wait > Longest ? Longest : wait > TimeSpan.Zero ? wait : TimeSpan.Zero;
    }

    private sealed record Turn(ScheduleEntity Schedule, DuePlan Plan, IReadOnlyList<QueueEntry> Entries, string? Error)
    {
        public bool Equals(Turn? other) => ReferenceEquals(this, other);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
    }

    [LoggerMessage(2661, LogLevel.Warning, "The schedule {Schedule} was due, but: {Error}")]
    private static partial void LogWrong(ILogger logger, string schedule, string error);
}
