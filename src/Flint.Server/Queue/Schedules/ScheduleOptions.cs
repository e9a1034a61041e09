using System.ComponentModel.DataAnnotations;

namespace Flint.Server.Queue.Schedules;

/// <summary>Functions and jobs that are run again and again: docs/schedules.md.</summary>
public sealed class ScheduleOptions
{
    /// <summary>How many schedules a tenant may have.</summary>
    /// <remarks>All of them due in the same second are enqueued within it.</remarks>
    [Range(0, 1_000_000)]
    public int MaxCount { get; set; } = 10_000;

    /// <summary>The shortest fixed rate, in milliseconds.</summary>
    /// <remarks>What runs more often is a loop.</remarks>
    [Range(100, 3_600_000)]
    public int MinRateMs { get; set; } = 1000;

    /// <summary>A due time that is this old when a server sees it, in milliseconds, was missed: the schedule's missedRuns decides.</summary>
    /// <remarks>Longer than a restart takes, and than one server's failure goes unnoticed by the others.</remarks>
    [Range(1000, 86_400_000)]
    public int MissedAfterMs { get; set; } = 60_000;
}
