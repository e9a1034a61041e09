using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flint.Server.Queue;

/// <summary>How a queued invocation is to be run: what stands in <c>invocation_data.work</c>. Exactly one of the three kinds is set. Immutable.</summary>
/// <remarks>Stored: members are only added, with defaults that mean what their absence meant, so that every server reads what any released one wrote.</remarks>
internal sealed record QueuedWork
{
    /// <summary>The greatest <see cref="Depth"/> that is run: functions that invoke each other for ever end there.</summary>
    public const int MaxDepth = 16;

    /// <summary>Code that came with its invocation.</summary>
    public JobWork? Job { get; init; }
    /// <summary>A deployed function, resolved when the attempt begins.</summary>
    public FunctionWork? Function { get; init; }
    /// <summary>A request to a webhook; its body is the payload.</summary>
    public DeliveryWork? Delivery { get; init; }
    public required RetryRules Retry { get; init; }
    public Destination? OnSuccess { get; init; }
    public Destination? OnFailure { get; init; }
    /// <summary>How many destinations led here: 0 for what somebody asked for, one more for each function that another one's end invoked.</summary>
    public int Depth { get; init; }

    public static QueuedWork Parse(string json) => JsonSerializer.Deserialize(json, QueuedWorkJson.Default.QueuedWork)
        ?? throw new InvalidDataException("The stored work of an invocation is empty.");

    public string ToJson() => JsonSerializer.Serialize(this, QueuedWorkJson.Default.QueuedWork);
}

/// <summary>A job's code and limits. The code's bytes are the entry's source.</summary>
internal sealed record JobWork
{
    /// <summary>A concrete runtime such as <c>nodejs20</c>.</summary>
    public required string Runtime { get; init; }
    /// <summary>The name that the source gets when it is one file: <c>main.js</c>, <c>main.mjs</c> or <c>main.py</c>. Null: the source is a zip.</summary>
    public string? FileName { get; init; }
    /// <summary><c>module.function</c>, <c>main.main</c> unless the job says otherwise.</summary>
    public required string Handler { get; init; }
    public required int TimeoutMs { get; init; }
    public required int MemoryMb { get; init; }
    public required int TmpMb { get; init; }
    /// <summary>Hard quota in thousandths of a core.</summary>
    public required int CpuMilli { get; init; }
    /// <summary><c>none</c> or <c>egress</c>.</summary>
    public required string Network { get; init; }
    /// <summary><c>full</c> or <c>limited</c>.</summary>
    public required string Globals { get; init; }
    public required string Engine { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }

    // How it was queued, for whoever reads it or runs it again; the queue itself has its own copy.
    public int Priority { get; init; }
    public long? TtlMs { get; init; }
    public string? ConcurrencyKey { get; init; }
    public int? ConcurrencyLimit { get; init; }
    public int? RateStarts { get; init; }
    public long? RatePeriodMs { get; init; }
}

/// <summary>A function as it was asked for.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Qualifier">Version or alias; null is <c>$LATEST</c>. An alias is followed when an attempt begins.</param>
internal sealed record FunctionWork(string Name, string? Qualifier);

/// <summary>One request to a webhook.</summary>
/// <param name="Url">Absolute, http or https.</param>
/// <param name="Secret">Signs the body; null: unsigned.</param>
/// <param name="Cause">The invocation that it tells of.</param>
/// <param name="Event">What happened to it: <c>invocation.completed</c> or <c>invocation.failed</c>.</param>
internal sealed record DeliveryWork(string Url, string? Secret, string Cause, string Event = "invocation.completed");

/// <summary>When an attempt that failed is followed by another.</summary>
/// <remarks>What has a default of its own is <c>set</c>, not <c>init</c>: reading stored work without such a member, the serializer would initialise it with its type's default.</remarks>
internal sealed record RetryRules
{
    /// <summary>Attempts after the first, for errors of the function. 0 to 100.</summary>
    public int Retries { get; init; }
    /// <summary>Counted from creation: beyond it nothing is tried again, whatever went wrong.</summary>
    public required long MaxAgeMs { get; init; }
    /// <summary><c>fixed</c> or <c>exponential</c> (doubling).</summary>
    public string Backoff { get; set; } = "exponential";
    public int DelayMs { get; set; } = 1000;
    public int MaxDelayMs { get; set; } = 300_000;
    /// <summary>Full jitter: each delay is drawn between 0 and what the rule gives.</summary>
    public bool Jitter { get; set; } = true;
}

/// <summary>What follows from an invocation's end; exactly one member is set.</summary>
internal sealed record Destination
{
    /// <summary>A function's name, with <c>:qualifier</c> if any; it gets Lambda's destination record as event.</summary>
    public string? Function { get; init; }
    public string? Webhook { get; init; }
    public string? Secret { get; init; }
    public string? DeadLetterList { get; init; }
}

/// <summary>One attempt as the record tells of it.</summary>
/// <param name="Refusals">How often it was put off before it ran (a throttle, no engine): such a try does not count as an attempt.</param>
internal sealed record AttemptNote(
    int Number, DateTimeOffset StartedAt, DateTimeOffset? CompletedAt, string Status, string? ErrorType, string? ErrorMessage, string? Worker, double? DurationMs, int Refusals = 0);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(QueuedWork))]
[JsonSerializable(typeof(List<AttemptNote>))]
internal sealed partial class QueuedWorkJson : JsonSerializerContext;
