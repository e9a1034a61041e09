using System.Globalization;
using Flint.Contracts;
using Flint.Data.Model;
using Flint.Server.Services;

namespace Flint.Server.Queue.Schedules;

/// <summary>What is to be done about a schedule that is due. Pure.</summary>
/// <param name="Runs">The due times that are run, in order.</param>
/// <param name="Next">The next one; null: there is none.</param>
/// <param name="Error">What was wrong; null: nothing.</param>
internal sealed record DuePlan(IReadOnlyList<DateTimeOffset> Runs, DateTimeOffset? Next, string? Error)
{
    public const int MostMissed = 100;

    /// <summary>A schedule whose times cannot be told is looked at again after this: the host may know its time zone again.</summary>
    private static readonly TimeSpan TryAgain = TimeSpan.FromHours(1);

    public static DuePlan Of(ScheduleEntity schedule, DateTimeOffset now, TimeSpan missedAfter)
    {
        try
        {
            var recurrence = Recurrence.Of(schedule, now);
            var due = recurrence.Latest(schedule.NextAt!.Value, now, schedule.MissedRuns == "all" ? MostMissed : 1);
            var next = recurrence.Next(now);
            var missed = now - due[^1] > missedAfter;
            return schedule.MissedRuns == "skip" && missed
                ? new DuePlan([], next, string.Create(CultureInfo.InvariantCulture, $"No server saw the due time {due[^1].ToString(Timestamp.Format, CultureInfo.InvariantCulture)} in time; missedRuns is skip."))
                : new DuePlan(due, next, null);
        }
        catch (RefusedException refused)
        {
            return new DuePlan([], now + TryAgain, refused.Message);
        }
    }
}
