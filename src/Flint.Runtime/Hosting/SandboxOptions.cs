namespace Flint.Runtime.Hosting;

/// <summary>
/// Section <c>Flint:Sandbox</c>: how many sandboxes this worker keeps, for how long, and who waits for one. Read once at start.
/// </summary>
public sealed class SandboxOptions
{
    public const string Section = "Flint:Sandbox";

    /// <summary>
    /// Live sandboxes on this worker, busy and idle together. 1 to 100000; 0 derives it from the host: three quarters of its memory
    /// divided by 5 MB (what an idle forked guest may have of its own), at least 16, at most 4000 (whose processes and descriptors common limits allow). Default 0.
    /// </summary>
    public int MaxSandboxes { get; set; }

    /// <summary>
    /// Sum in MB of the memory limits (<c>memoryMb</c>) of all sandboxes that start or run, and of 8 MB for each idle one (a forked guest uses a few). A limit is a
    /// ceiling that most functions stay far below, so this may exceed the host's memory; what protects the host then, and finds idle ones that hold more,
    /// is <see cref="MemoryFloorMb"/>.
    /// /tmp is not counted: only what is written there takes memory.
    /// 128 and more; 0 means twice the memory of the host (or of the container). Default 0.
    /// </summary>
    public int MemoryBudgetMb { get; set; }

    /// <summary>
    /// When the host's available memory (MemAvailable) falls below this many MB, no sandbox is added and idle ones are destroyed until it
    /// is above again. 0 and more; -1 means a sixteenth of the memory, at least 128 and at most 1024; 0 switches it off. Default -1.
    /// </summary>
    public int MemoryFloorMb { get; set; } = -1;

    /// <summary>
    /// How long an idle sandbox is kept warm, in ms. 1000 to 86400000. Default 600000: ten minutes, as LocalStack keeps its Lambda
    /// containers and OpenWhisk its warm ones.
    /// </summary>
    public int IdleLifetimeMs { get; set; } = 600_000;

    /// <summary>
    /// Grace in ms before an idle sandbox is frozen, so that a busy function's are never frozen between two calls. 1 to 60000; -1 never
    /// freezes: idle guests may then use CPU. Default 20. Engines that cannot freeze ignore it.
    /// </summary>
    public int FreezeAfterMs { get; set; } = 20;

    /// <summary>
    /// Invocations that may wait for a sandbox at a time; one more is refused as <c>Throttled</c>. One function version may take half of the places, so
    /// that a crowd in front of one does not shut out the others. 1 to 1000000. Default 1000.
    /// </summary>
    public int QueueLimit { get; set; } = 1000;

    /// <summary>
    /// How long an invocation may wait for a sandbox, in ms, before it is refused as <c>Throttled</c>. 1 to 900000. Default 30000: a burst of 200 cold
    /// starts that each take a tenth of a second of two cores is through in 10 seconds, and HTTP clients commonly wait for at least 30.
    /// </summary>
    public int QueueTimeoutMs { get; set; } = 30_000;

    /// <summary>
    /// Cold starts under way at a time, from the grant of a sandbox until its handler is loaded; further ones wait in the queue, so that a burst of them neither
    /// thrashes the cores nor runs into <see cref="InitTimeoutMs"/>. One function version may take half of the places. 1 to 10000; 0 means eight for
    /// each core (part of a start waits for the kernel, disk or network), at least 16. Default 0.
    /// </summary>
    public int MaxColdStarts { get; set; }

    /// <summary>
    /// Limit in ms from asking the engine for a sandbox to its handler being loaded; beyond the function's own timeout. Waiting in the queue does not count. 100 to 900000.
    /// Default 10000, Lambda's init limit.
    /// </summary>
    public int InitTimeoutMs { get; set; } = 10_000;

    /// <summary>How long shutdown lets running invocations finish, in ms, before it kills them. The host's own
    /// shutdown timeout must be longer. 0 to 900000. Default 20000.</summary>
    public int DrainTimeoutMs { get; set; } = 20_000;

    /// <summary>
    /// Limits that may be missing on this host: any of <c>memory</c>, <c>pids</c>, <c>cpu</c>. An engine that cannot enforce memory or pids refuses to
    /// work unless they are listed; a missing share of CPU never stops it. Default empty. Records show what was not enforced.
    /// </summary>
    public string[] AllowUnenforced { get; set; } = [];

    /// <summary>All problems at once, each naming its key, the value and the range; empty when there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var problems = new OptionProblems(Section);
        problems.Range(nameof(MaxSandboxes), MaxSandboxes, 0, 100_000);
        problems.Range(nameof(MemoryBudgetMb), MemoryBudgetMb, 128, int.MaxValue, except: 0);
        problems.Range(nameof(MemoryFloorMb), MemoryFloorMb, 0, int.MaxValue, except: -1);
        problems.Range(nameof(IdleLifetimeMs), IdleLifetimeMs, 1000, 86_400_000);
        problems.Range(nameof(FreezeAfterMs), FreezeAfterMs, 1, 60_000, except: -1);
        problems.Range(nameof(QueueLimit), QueueLimit, 1, 1_000_000);
        problems.Range(nameof(QueueTimeoutMs), QueueTimeoutMs, 1, 900_000);
        problems.Range(nameof(MaxColdStarts), MaxColdStarts, 0, 10_000);
        problems.Range(nameof(InitTimeoutMs), InitTimeoutMs, 100, 900_000);
        problems.Range(nameof(DrainTimeoutMs), DrainTimeoutMs, 0, 900_000);
        foreach (var limit in AllowUnenforced)
        {
            problems.OneOf(nameof(AllowUnenforced), limit, "memory", "pids", "cpu");
        }
        return problems.All;
    }
}
