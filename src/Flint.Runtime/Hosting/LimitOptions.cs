namespace Flint.Runtime.Hosting;

/// <summary>Section <c>Flint:Limits</c>: bounds on one invocation and on how many run. Read once at start.</summary>
public sealed class LimitOptions
{
    public const string Section = "Flint:Limits";

    /// <summary>The event's size in bytes. 1 to 6291456 (the guest protocol's own limit). Default 6291456: Lambda's 6 MB.</summary>
    public int MaxPayloadBytes { get; set; } = 6 * 1024 * 1024;

    /// <summary>The result's size in bytes. 1 to 6291456. Default 6291456: Lambda's 6 MB.</summary>
    public int MaxResultBytes { get; set; } = 6 * 1024 * 1024;

    /// <summary>What is kept of an invocation's log, in bytes of text; the rest is counted. 0 to 67108864. Default 1048576.</summary>
    public int MaxLogBytes { get; set; } = 1024 * 1024;

    /// <summary>Nesting of an event's and a result's JSON. 1 to 1000. Default 128: twice what System.Text.Json allows by default.</summary>
    public int MaxJsonDepth { get; set; } = 128;

    /// <summary>
    /// Invocations in flight on this worker, running and waiting together; one more is refused as <c>Throttled</c>. 1 to 1000000.
    /// Default 1000: the concurrency that Lambda gives an account.
    /// </summary>
    public int MaxConcurrency { get; set; } = 1000;

    /// <summary>All problems at once, each naming its key, the value and the range; empty when there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var problems = new OptionProblems(Section);
        problems.Range(nameof(MaxPayloadBytes), MaxPayloadBytes, 1, 6 * 1024 * 1024);
        problems.Range(nameof(MaxResultBytes), MaxResultBytes, 1, 6 * 1024 * 1024);
        problems.Range(nameof(MaxLogBytes), MaxLogBytes, 0, 64 * 1024 * 1024);
        problems.Range(nameof(MaxJsonDepth), MaxJsonDepth, 1, 1000);
        problems.Range(nameof(MaxConcurrency), MaxConcurrency, 1, 1_000_000);
        return problems.All;
    }
}
