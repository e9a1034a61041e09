using System.ComponentModel.DataAnnotations;

namespace Flint.Server.Services;

/// <summary>What history keeps of invocations.</summary>
public sealed class HistoryOptions
{
    /// <summary>Which events are kept with their records: <c>None</c>, <c>Failed</c> (of invocations that did not complete) or <c>All</c>.</summary>
    /// <remarks>Events of failures are what one wants to run again; the others are mostly cost. Jobs keep their arguments in any case, as they keep their code.</remarks>
    public PayloadMode PayloadMode { get; set; } = PayloadMode.Failed;

    /// <summary>Events larger than this many bytes are not kept.</summary>
    /// <remarks>AWS's limit for queued events before late 2025.</remarks>
    [Range(0, 6 * 1024 * 1024)]
    public int MaxPayloadBytes { get; set; } = 256 * 1024;

    /// <summary>Age in days at which records are removed. 0: never.</summary>
    /// <remarks>A month, long enough to compare with the last release.</remarks>
    [Range(0, 3650)]
    public int MaxAgeDays { get; set; } = 30;

    /// <summary>How many records are kept per tenant; the oldest go first. 0: any number.</summary>
    /// <remarks>About 2 GB at 2 KB a record.</remarks>
    [Range(0d, 1e15)]
    public long MaxCount { get; set; } = 1_000_000;

    /// <summary>
    /// How many megabytes of events, results, logs and errors are kept per tenant; the oldest records go first. 0: any number. Retention also runs
    /// whenever a tenth of this was written.
    /// </summary>
    /// <remarks>5 KB for each of a million records; a function may write 7 MB for each.</remarks>
    [Range(0, 1_000_000_000)]
    public int MaxMegabytes { get; set; } = 10_240;

    /// <summary>How often retention runs, in milliseconds.</summary>
    /// <remarks>Often enough that each run is short.</remarks>
    [Range(1000, 86_400_000)]
    public int PruneEveryMs { get; set; } = 300_000;
}

/// <summary>Which events history keeps.</summary>
public enum PayloadMode
{
    None,
    Failed,
    All,
}
