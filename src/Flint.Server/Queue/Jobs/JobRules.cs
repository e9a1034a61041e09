using System.Globalization;
using Flint.Contracts.Jobs;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Hosting;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>A job that may be enqueued.</summary>
/// <param name="Entry">As the queue takes it.</param>
/// <param name="Work">What the entry's work says, parsed.</param>
/// <param name="Request">What it was made from.</param>
internal sealed record JobSubmission(QueueEntry Entry, QueuedWork Work, JobRequest Request);

/// <summary>Checks submissions and makes queue entries of them. All refusals name the member, the limit and its knob. Thread-safe.</summary>
internal sealed class JobRules(JobOptions jobs, FunctionLimitOptions functions, EngineDirectory engines, JobPackages packages)
{
    public const string Mode = "job";
    public const string DefaultHandler = "main.main";
    public const int MaxTags = 20;
    public const int MaxTagLength = 100;
    public const int MaxKeyLength = 200;
    public const int MaxIdempotencyKeyLength = 255;
    private const int DefaultTmpMb = 512;
    private const int DayMs = 24 * 60 * 60 * 1000;
    private const long MonthMs = 31L * DayMs;
    private const int Most = 1_000_000;
    private const double LeastCpus = 0.05;

    private static readonly ReadOnlyMemory<byte> NoArgs = "[]"u8.ToArray();

    /// <summary>The last work and its JSON: most jobs of a client differ in code and arguments alone.</summary>
    private volatile Written? _last;

    /// <summary>Throws <see cref="RefusedException"/>. Completes at once for one source text.</summary>
    public async ValueTask<JobSubmission> MakeAsync(string tenantId, string id, JobRequest request, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var (engine, runtime) = engines.CheckLanguage(request.Language ?? "javascript");
        var handler = request.Handler ?? DefaultHandler;
        Handlers.Check(runtime, handler);
        var package = await packages.MakeAsync(request, runtime, handler, cancellationToken).ConfigureAwait(false);
        var delay = Delay(request, now);
        var ttl = request.TtlMs is { } ms ? TimeSpan.FromMilliseconds(Range("ttlMs", ms, 1, jobs.MaxDelayMs, "Flint:Jobs:MaxDelayMs")) : (TimeSpan?)null;
        if (ttl <= delay)
        {
            throw new RefusedException("out_of_range", "ttlMs is over before the job is due: it would never begin.", field: "ttlMs");
        }

        var work = new QueuedWork { Job = Work(request, engine, runtime, handler, package), Retry = Retry(request, delay) };
        var json = Write(ref work);
        var key = Key(request.IdempotencyKey);
        var tags = Tags(request.Tags);
        var entry = new QueueEntry
        {
            Row = new InvocationRow
            {
                TenantId = tenantId,
                Id = id,
                FunctionId = "",
                FunctionName = "",
                Version = "",
                Mode = Mode,
                Status = "PENDING",
                CreatedAt = now,
                MemoryMb = work.Job!.MemoryMb,
                Engine = engine,
                Attempts = 0,
                RunAt = delay > TimeSpan.Zero ? Times.ToMilliseconds(now + delay) : null,
                Payload = request.Args ?? NoArgs,
                WorkJson = json,
                Tags = tags,
            },
            WorkJson = json,
            Source = package.Source,
            Lane = work.Job.ConcurrencyKey is { } lane ? Lanes.OfKey(lane) : Lanes.Jobs,
            Limits = Limits(work.Job),
            Priority = work.Job.Priority,
            RunAt = request.RunAt is { } at && delay > TimeSpan.Zero ? at.ToUniversalTime() : null,
            Delay = request.DelayMs is null ? TimeSpan.Zero : delay,
            TimeToLive = ttl,
            IdempotencyKey = key,
            Fingerprint = key is null ? null : JobFingerprint.Of(request, work, package.Source.Span, tags),
            Tags = tags,
        };
        return new JobSubmission(entry, work, request);
    }

    private JobWork Work(JobRequest request, string engine, string runtime, string handler, JobPackage package)
    {
        var network = FunctionRules.Word("network", request.Network ?? "none", "none", "egress");
        if (network == "egress")
        {
            engines.CheckEgress(engine);
        }

        var globals = FunctionRules.Word("globals", request.Globals ?? "full", "full", "limited");
        if (globals == "limited" && package.FileName is null)
        {
            throw new RefusedException("invalid_field", "globals limited is for one source text: with it, a job cannot load further files.", field: "globals");
        }

        if (request.Environment is { } environment)
        {
            EnvironmentRules.Check(environment, functions.MaxEnvironmentBytes);
        }

        var key = Text("concurrencyKey", request.ConcurrencyKey, MaxKeyLength);
        if (key is null && (request.ConcurrencyLimit is not null || request.RateLimit is not null))
        {
            throw new RefusedException("missing_field", "A limit needs a concurrencyKey, which says what it is for.", field: "concurrencyKey");
        }

        var mostCpus = jobs.MaxCpus > 0 ? jobs.MaxCpus : Environment.ProcessorCount;
        return new JobWork
        {
            Runtime = runtime,
            FileName = package.FileName,
            Handler = handler,
            TimeoutMs = (int)Range("timeout", request.TimeoutMs ?? jobs.DefaultTimeoutMs, 1, jobs.MaxTimeoutMs, "Flint:Jobs:MaxTimeoutMs"),
            MemoryMb = (int)Range("memoryMb", request.MemoryMb ?? jobs.DefaultMemoryMb, 128, jobs.MaxMemoryMb, "Flint:Jobs:MaxMemoryMb"),
            TmpMb = Math.Min(DefaultTmpMb, functions.MaxTmpMb),
            CpuMilli = (int)Math.Round(Cpus(request.Cpus ?? Math.Min(jobs.DefaultCpus, mostCpus), mostCpus) * 1000),
            Network = network,
            Globals = globals,
            Engine = engine,
            Environment = request.Environment is { Count: > 0 } variables ? variables : null,
            Priority = (int)Range("priority", request.Priority ?? 0, -100, 100, null),
            TtlMs = request.TtlMs,
            ConcurrencyKey = key,
            ConcurrencyLimit = key is null ? null : (int)Range("concurrencyLimit", request.ConcurrencyLimit ?? 1, 1, Most, null),
            RateStarts = request.RateLimit is { } rate ? (int)Range("rateLimit.starts", rate.Starts, 1, Most, null) : null,
            RatePeriodMs = request.RateLimit is { } limit ? Range("rateLimit.periodMs", limit.PeriodMs, 1, MonthMs, null) : null,
        };
    }

    private RetryRules Retry(JobRequest request, TimeSpan delay)
    {
        var backoff = request.Backoff ?? new BackoffSettings();
        var rules = new RetryRules { MaxAgeMs = (long)delay.TotalMilliseconds + jobs.MaxAgeMs };
        var first = (int)Range("backoff.delayMs", backoff.DelayMs ?? rules.DelayMs, 0, DayMs, null);
        return rules with
        {
            Retries = (int)Range("retries", request.Retries ?? 0, 0, jobs.MaxRetries, "Flint:Jobs:MaxRetries"),
            Backoff = FunctionRules.Word("backoff.type", backoff.Type ?? rules.Backoff, "fixed", "exponential"),
            DelayMs = first,
            MaxDelayMs = (int)Range("backoff.maxDelayMs", backoff.MaxDelayMs ?? Math.Max(first, rules.MaxDelayMs), first, DayMs, null),
            Jitter = backoff.Jitter ?? rules.Jitter,
        };
    }

    private TimeSpan Delay(JobRequest request, DateTimeOffset now)
    {
        if (request is { DelayMs: not null, RunAt: not null })
        {
            throw new RefusedException("invalid_field", "delayMs and runAt cannot be given together.", field: "runAt");
        }

        if (request.RunAt is { } at)
        {
            var ahead = at - now;
            return ahead.TotalMilliseconds <= jobs.MaxDelayMs
                ? ahead > TimeSpan.Zero ? ahead : TimeSpan.Zero
                : throw new RefusedException("out_of_range", "runAt lies too far ahead.", field: "runAt",
                    limit: string.Create(CultureInfo.InvariantCulture, $"{jobs.MaxDelayMs} ms from now"), knob: "Flint:Jobs:MaxDelayMs");
        }

        return request.DelayMs is { } delay ? TimeSpan.FromMilliseconds(Range("delayMs", delay, 0, jobs.MaxDelayMs, "Flint:Jobs:MaxDelayMs")) : TimeSpan.Zero;
    }

    private static LaneLimits? Limits(JobWork job) => job.ConcurrencyKey is null
        ? null
        : new LaneLimits(job.ConcurrencyLimit, job.RateStarts is { } starts ? new LaneRate(starts, TimeSpan.FromMilliseconds(job.RatePeriodMs!.Value)) : null);

    private static IReadOnlyList<string> Tags(IReadOnlyList<string>? given)
    {
        if (given is not { Count: > 0 })
        {
            return [];
        }

        var tags = given.Distinct(StringComparer.Ordinal).ToArray();
        if (tags.Length > MaxTags)
        {
            throw new RefusedException("out_of_range", $"A job has at most {MaxTags} tags.", field: "tags", limit: $"{MaxTags} tags");
        }

        foreach (var tag in tags)
        {
            Text("tags", tag, MaxTagLength);
        }

        return tags;
    }

    /// <summary>The key, or null when there is none.</summary>
    public static string? Key(string? key) => Text("idempotencyKey", key, MaxIdempotencyKeyLength);

    private static string? Text(string field, string? text, int most) =>
        text is null || (text.Length > 0 && text.Length <= most && !text.AsSpan().ContainsAnyInRange('\0', '\x1f'))
            ? text
            : throw new RefusedException("invalid_field", $"{field} is 1 to {most} characters, without control characters.", field: field, limit: $"1 to {most} characters");

    private static double Cpus(double value, double most) =>
        value >= LeastCpus && value <= most
            ? value
            : throw new RefusedException("out_of_range", string.Create(CultureInfo.InvariantCulture, $"cpus is {value}; it must be {LeastCpus} to {most}."),
                field: "cpus", limit: string.Create(CultureInfo.InvariantCulture, $"{LeastCpus} to {most}"), knob: "Flint:Jobs:MaxCpus");

    private static long Range(string field, long value, long min, long max, string? knob) =>
        value >= min && value <= max
            ? value
            : throw new RefusedException("out_of_range", string.Create(CultureInfo.InvariantCulture, $"{field} is {value}; it must be {min} to {max}."),
                field: field, limit: string.Create(CultureInfo.InvariantCulture, $"{min} to {max}"), knob: knob);

    private string Write(ref QueuedWork work)
    {
        if (_last is { } last && last.Work == work)
        {
            work = last.Work;
            return last.Json;
        }

        var json = work.ToJson();
        if (work.Job!.Environment is null)
        {
            _last = new Written(work, json);
        }

        return json;
    }

    private sealed record Written(QueuedWork Work, string Json);
}
