using System.ComponentModel.DataAnnotations;

namespace Flint.Server.Queue.Workers;

/// <summary>How a server with the role worker takes work from the queue. A small set-up that shares its host with other things says, for instance, Concurrency 5 and StartsPerSecond 10.</summary>
public sealed class WorkerOptions
{
    /// <summary>The worker's name, for people. Empty: the host's name and the process id.</summary>
    public string Name { get; set; } = "";

    /// <summary>
    /// Queued invocations that this worker runs at a time; under pressure of memory or CPU it takes fewer for a while. 0: four for each core, since a run also waits (for its start, the network,
    /// a timer), but one for each 128 MB of memory at most, and 2 at least.
    /// </summary>
    /// <remarks>At 128 MB each, ten times what a small script has of its own, they fill the memory; the limits that they could use are more, and what protects the host then is Flint:Sandbox:MemoryFloorMb.</remarks>
    [Range(0, 10_000)]
    public int Concurrency { get; set; }

    /// <summary>Queued invocations that this worker begins per second, at most; as many may begin at once after a pause. 0: any number.</summary>
    /// <remarks>A fresh start costs a few milliseconds of a core, so most hosts need no limit.</remarks>
    [Range(0, 100_000)]
    public int StartsPerSecond { get; set; }

    /// <summary>
    /// How long the worker's lease lasts without being renewed, in milliseconds: what it ran is tried again elsewhere so long after it died. It is renewed every third of this; a worker that could not renew it
    /// kills what it runs when four fifths are over.
    /// </summary>
    /// <remarks>Long enough that a restart of the database costs no run, short enough that nobody waits long for a dead worker's jobs.</remarks>
    [Range(1000, 600_000)]
    public int LeaseMs { get; set; } = 15_000;

    /// <summary>How often the queue is looked at when nothing wakes the worker, in milliseconds. 0: 1000 with PostgreSQL, where other servers enqueue and their notices may be lost, and 5000 with SQLite.</summary>
    /// <remarks>One short query each time.</remarks>
    [Range(0, 600_000)]
    public int PollMs { get; set; }

    /// <summary>Jobs' unpacked sources that are kept on disk, those in use included.</summary>
    /// <remarks>Equal jobs that come again find their code there.</remarks>
    [Range(1, 1_000_000)]
    public int MaxJobCodes { get; set; } = 1000;

    /// <summary>Size of jobs' unpacked sources that are kept on disk, in megabytes, those in use included.</summary>
    /// <remarks>One package of the largest size, or a thousand small ones.</remarks>
    [Range(1, 1_000_000)]
    public int MaxJobCodeMegabytes { get; set; } = 256;
}
