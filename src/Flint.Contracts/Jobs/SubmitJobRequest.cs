using System.Text.Json;

namespace Flint.Contracts.Jobs;

/// <summary>Code to run once: <c>main(...args)</c> in a fresh sandbox. Exactly one of code, files and zip is given.</summary>
public sealed record SubmitJobRequest
{
    /// <summary>The source. JavaScript: a script or an ES module with a function <c>main</c>, exported or not. Python: a module with a function <c>main</c>.</summary>
    public string? Code { get; init; }
    /// <summary>Several files: paths to text. One must be main.js, main.mjs or main.py, unless <see cref="Handler"/> names another.</summary>
    public IReadOnlyDictionary<string, string>? Files { get; init; }
    /// <summary>The same as a zip, in base64.</summary>
    public string? Zip { get; init; }
    /// <summary><c>javascript</c> (default), <c>python</c>, or a concrete runtime.</summary>
    public string? Language { get; init; }
    /// <summary><c>module.function</c>; default <c>main.main</c>.</summary>
    public string? Handler { get; init; }
    /// <summary>A JSON array, each element one argument. Default: none.</summary>
    public JsonElement? Args { get; init; }
    /// <summary>In milliseconds. Default 30000.</summary>
    public int? Timeout { get; init; }
    /// <summary>Default 512.</summary>
    public int? MemoryMb { get; init; }
    /// <summary>Cores, a hard quota. Default 1.</summary>
    public double? Cpus { get; init; }
    /// <summary><c>none</c> (default) or <c>egress</c>.</summary>
    public string? Network { get; init; }
    /// <summary><c>full</c> (default) or <c>limited</c>: no require, process or file system, for teaching. The sandbox is the wall in either case.</summary>
    public string? Globals { get; init; }
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    /// <summary>-100 to 100, higher first among the jobs of the same lane. Default 0.</summary>
    public int? Priority { get; init; }
    /// <summary>Not before so many milliseconds; not together with <see cref="RunAt"/>.</summary>
    public long? DelayMs { get; init; }
    /// <summary>Not before this time.</summary>
    public DateTimeOffset? RunAt { get; init; }
    /// <summary>Further attempts after errors of the code. Default 0.</summary>
    public int? Retries { get; init; }
    public BackoffSettings? Backoff { get; init; }
    /// <summary>Not begun within this, it fails as Expired. In milliseconds; default: never.</summary>
    public long? TtlMs { get; init; }
    /// <summary>The same key within a day answers with the first job. Also as the header Idempotency-Key.</summary>
    public string? IdempotencyKey { get; init; }
    public IReadOnlyList<string>? Tags { get; init; }
    /// <summary>Jobs of one key share a lane and its limits.</summary>
    public string? ConcurrencyKey { get; init; }
    /// <summary>How many of the key run at a time. Default 1 with a key.</summary>
    public int? ConcurrencyLimit { get; init; }
    /// <summary>How many of the key start per period.</summary>
    public RateLimitSettings? RateLimit { get; init; }
}

/// <summary>The wait before another attempt.</summary>
public sealed record BackoffSettings
{
    /// <summary><c>fixed</c> or <c>exponential</c> (default).</summary>
    public string? Type { get; init; }
    /// <summary>The first wait. Default 1000.</summary>
    public int? DelayMs { get; init; }
    /// <summary>The longest wait. Default 300000.</summary>
    public int? MaxDelayMs { get; init; }
    /// <summary>Draw each wait between 0 and the rule's. Default true.</summary>
    public bool? Jitter { get; init; }
}

/// <summary>At most <see cref="Starts"/> starts per <see cref="PeriodMs"/>.</summary>
public sealed record RateLimitSettings
{
    public int Starts { get; init; }
    public long PeriodMs { get; init; } = 1000;
}
