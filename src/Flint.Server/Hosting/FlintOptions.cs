using System.ComponentModel.DataAnnotations;
using Flint.Server.Packages;
using Flint.Server.Queue;
using Flint.Server.Queue.Destinations;
using Flint.Server.Queue.Jobs;
using Flint.Server.Queue.Schedules;
using Flint.Server.Services;

namespace Flint.Server.Hosting;

/// <summary>
/// The server's own configuration, under the key <c>Flint</c>; FlintConfiguration adds the other parts' sections. To add an option: add a property with a summary (meaning, unit), a range,
/// a default and, in remarks, where the number comes from; then run the server's tests with FLINT_UPDATE_DOCS=1, which writes docs/configuration.md.
/// </summary>
public sealed class FlintOptions
{
    /// <summary>Directory of the database, the code and all else that Flint keeps. Relative to the working directory.</summary>
    [Required]
    public string DataPath { get; set; } = "./data";

    /// <summary>
    /// What this server does: <c>api</c> answers requests, <c>worker</c> runs what is queued. A worker alone answers nothing but <c>/health</c>. An api alone needs PostgreSQL, and a worker
    /// on the same database.
    /// </summary>
    public string[] Roles { get; set; } = [ServerRoles.Api, ServerRoles.Worker];

    public FunctionLimitOptions Functions { get; set; } = new();
    public HttpOptions Http { get; set; } = new();
    public HistoryOptions History { get; set; } = new();
    public PackagesOptions Packages { get; set; } = new();
    public JobOptions Jobs { get; set; } = new();
    public QueueOptions Queue { get; set; } = new();
    public ScheduleOptions Schedules { get; set; } = new();
    public WebhookOptions Webhooks { get; set; } = new();
}

/// <summary>Bounds on what functions may ask for.</summary>
public sealed class FunctionLimitOptions
{
    /// <summary>The longest timeout that a function may have, in milliseconds.</summary>
    /// <remarks>AWS Lambda's limit of 15 minutes.</remarks>
    [Range(1000, 24 * 60 * 60 * 1000)]
    public int MaxTimeoutMs { get; set; } = 900_000;

    /// <summary>The most memory that a function may have, in MB.</summary>
    /// <remarks>AWS Lambda's limit.</remarks>
    [Range(128, 1024 * 1024)]
    public int MaxMemoryMb { get; set; } = 10240;

    /// <summary>The largest /tmp that a function may have, in MB.</summary>
    /// <remarks>AWS Lambda's limit.</remarks>
    [Range(16, 1024 * 1024)]
    public int MaxTmpMb { get; set; } = 10240;

    /// <summary>Size of a function's environment: all names and values together, in UTF-8 bytes.</summary>
    /// <remarks>AWS Lambda's limit.</remarks>
    [Range(0, 32 * 1024)]
    public int MaxEnvironmentBytes { get; set; } = 4096;
}

/// <summary>The HTTP server.</summary>
public sealed class HttpOptions
{
    /// <summary>Further names that a request's Host header may have, beside <c>localhost</c>, <c>127.0.0.1</c> and <c>[::1]</c>. Without ports.</summary>
    public string[] AllowedHosts { get; set; } = [];

    /// <summary>Open connections at once; more are refused.</summary>
    /// <remarks>A tenth of common file limits on servers.</remarks>
    [Range(1, 1_000_000)]
    public int MaxConnections { get; set; } = 10_000;

    /// <summary>How long an idle connection is kept, in milliseconds.</summary>
    /// <remarks>Kestrel's default.</remarks>
    [Range(1000, 3_600_000)]
    public int KeepAliveTimeoutMs { get; set; } = 130_000;

    /// <summary>How long a client may take to send a request's headers, in milliseconds.</summary>
    /// <remarks>Half of Kestrel's default.</remarks>
    [Range(1000, 600_000)]
    public int HeadersTimeoutMs { get; set; } = 15_000;

    /// <summary>How long a client may take to send a request's body, in milliseconds.</summary>
    /// <remarks>The largest zip that is taken by default, over a line of 4 Mbit/s.</remarks>
    [Range(1000, 86_400_000)]
    public int BodyTimeoutMs { get; set; } = 600_000;

    /// <summary>
    /// Bytes of request bodies in memory at a time, an event's until its answer is out; what does not fit is refused with 429. 0 means a sixteenth of
    /// the memory that the process may use, at least 64 MB and at most 1 GB. A body that is alone is always taken.
    /// </summary>
    [Range(0, long.MaxValue)]
    public long MaxBodyBytesInFlight { get; set; }
}
