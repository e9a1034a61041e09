using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flint.Server.Queue.Functions;

/// <summary>What a function's settings say of its asynchronous invocations: what stands in <c>functions.async_json</c>. Immutable, once it is read.</summary>
/// <remarks>Stored, with the secrets of webhooks. Members with a default of their own are <c>set</c>: see <see cref="RetryRules"/>.</remarks>
internal sealed record AsyncRules
{
    public const string DefaultList = "default";
    public const int DefaultRetries = 2;
    public const long DefaultMaxEventAgeMs = 6L * 60 * 60 * 1000;

    /// <summary>The first wait, as AWS Lambda's: a minute, then two.</summary>
    public const int DefaultDelayMs = 60_000;

    public RetryRules Retry { get; set; } = new() { Retries = DefaultRetries, MaxAgeMs = DefaultMaxEventAgeMs, DelayMs = DefaultDelayMs, Jitter = false };

    public Destination? OnSuccess { get; set; }

    /// <summary>Null: failures are forgotten, which must be said.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.Never)]
    public Destination? OnFailure { get; set; } = new() { DeadLetterList = DefaultList };

    /// <summary>Those of a function that says nothing.</summary>
    public static AsyncRules Default { get; } = new();

    public static AsyncRules Parse(string json) => json == "{}" ? Default : JsonSerializer.Deserialize(json, AsyncRulesJson.Default.AsyncRules) ?? Default;

    public string ToJson() => JsonSerializer.Serialize(this, AsyncRulesJson.Default.AsyncRules);

    /// <summary>How an invocation with these rules is to be run.</summary>
    public QueuedWork Work(FunctionWork function, int depth) => new() { Function = function, Retry = Retry, OnSuccess = OnSuccess, OnFailure = OnFailure, Depth = depth };
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AsyncRules))]
internal sealed partial class AsyncRulesJson : JsonSerializerContext;
