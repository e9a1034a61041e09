using Flint.Contracts.Jobs;

namespace Flint.Contracts.Functions;

/// <summary>How a function's asynchronous invocations are tried again, and what follows from them. Given, it replaces all of it; members that are absent have their defaults.</summary>
public sealed record AsyncSettings
{
    /// <summary>Further attempts after errors of the function: 0 to 10; default 2.</summary>
    public int? MaxRetries { get; init; }
    /// <summary>Beyond this age nothing is tried again, whatever went wrong: 1000 to 604800000; default 21600000 (6 hours).</summary>
    public long? MaxEventAgeMs { get; init; }
    /// <summary>The waits between attempts; default: one minute, then two, then four, at most five, without jitter.</summary>
    public BackoffSettings? Backoff { get; init; }
    /// <summary>Default: nothing.</summary>
    public DestinationSettings? OnSuccess { get; init; }
    /// <summary>Default: the dead-letter list <c>default</c>.</summary>
    public DestinationSettings? OnFailure { get; init; }
}

/// <summary>What follows from an invocation's end: exactly one of function, webhook, deadLetterList and none.</summary>
public sealed record DestinationSettings
{
    /// <summary>A function's name, with <c>:version</c> or <c>:alias</c> if any. It is invoked with AWS Lambda's destination record as event.</summary>
    public string? Function { get; init; }
    /// <summary>An http or https address that gets the same record by POST.</summary>
    public string? Webhook { get; init; }
    /// <summary>Signs what the webhook gets; at most 256 characters. Never shown. Absent, the secret of the same address stays; empty, there is none.</summary>
    public string? Secret { get; init; }
    /// <summary>A dead-letter list's name: 1 to 64 of letters, digits, <c>-</c> and <c>_</c>. For failures.</summary>
    public string? DeadLetterList { get; init; }
    /// <summary>True: nothing follows.</summary>
    public bool? None { get; init; }
}

/// <summary>A function's <see cref="AsyncSettings"/> as they are.</summary>
public sealed record AsyncView(int MaxRetries, long MaxEventAgeMs, BackoffView Backoff, DestinationView OnSuccess, DestinationView OnFailure);

/// <summary>The waits between attempts.</summary>
public sealed record BackoffView(string Type, int DelayMs, int MaxDelayMs, bool Jitter);

/// <summary>A destination; exactly one of function, webhook, deadLetterList and none.</summary>
/// <param name="Function">A function's name, with its qualifier if any.</param>
/// <param name="Webhook">An address.</param>
/// <param name="Signed">Of a webhook: whether it has a secret.</param>
/// <param name="DeadLetterList">A list's name.</param>
/// <param name="None">True: nothing follows.</param>
public sealed record DestinationView(string? Function, string? Webhook, bool? Signed, string? DeadLetterList, bool? None);
