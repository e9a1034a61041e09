using Flint.Contracts.Jobs;
using Flint.Data.Queue;

namespace Flint.Server.Queue.Jobs;

/// <summary>
/// A submission as it was read (Contracts' SubmitJobRequest): code and arguments are slices of the body, never objects. Mutable while it is read; a repetition begins with what the first run was
/// submitted with. Not thread-safe.
/// </summary>
internal sealed class JobRequest
{
    /// <summary>The source in UTF-8.</summary>
    public ReadOnlyMemory<byte>? Code { get; set; }
    /// <summary>The source as the body has it: a JSON string with its quotes. Empty when it did not come in this body.</summary>
    public ReadOnlyMemory<byte> CodeJson { get; set; }
    /// <summary>By path, in the order given.</summary>
    public IReadOnlyList<KeyValuePair<string, ReadOnlyMemory<byte>>>? Files { get; set; }
    public ReadOnlyMemory<byte>? Zip { get; set; }
    public string? Language { get; set; }
    public string? Handler { get; set; }
    /// <summary>A JSON array.</summary>
    public ReadOnlyMemory<byte>? Args { get; set; }
    public int? TimeoutMs { get; set; }
    public int? MemoryMb { get; set; }
    public double? Cpus { get; set; }
    public string? Network { get; set; }
    public string? Globals { get; set; }
    public IReadOnlyDictionary<string, string>? Environment { get; set; }
    public int? Priority { get; set; }
    public long? DelayMs { get; set; }
    public DateTimeOffset? RunAt { get; set; }
    public int? Retries { get; set; }
    public BackoffSettings? Backoff { get; set; }
    public long? TtlMs { get; set; }
    public string? IdempotencyKey { get; set; }
    public IReadOnlyList<string>? Tags { get; set; }
    public string? ConcurrencyKey { get; set; }
    public int? ConcurrencyLimit { get; set; }
    public RateLimitSettings? RateLimit { get; set; }

    /// <summary>What a job was submitted with, to be submitted again; when, and under which idempotency key, is not repeated.</summary>
    public static JobRequest Of(StoredWork stored)
    {
        var work = QueuedWork.Parse(stored.WorkJson);
        var job = work.Job ?? throw new InvalidDataException("The stored work is not a job's.");
        var isText = job.FileName is not null;
        return new JobRequest
        {
            Code = isText ? stored.Source : NoBytes,
            Zip = isText ? NoBytes : stored.Source,
            Language = job.Runtime,
            Handler = job.Handler,
            Args = stored.Payload,
            TimeoutMs = job.TimeoutMs,
            MemoryMb = job.MemoryMb,
            Cpus = job.CpuMilli / 1000.0,
            Network = job.Network,
            Globals = job.Globals,
            Environment = job.Environment,
            Priority = job.Priority,
            Retries = work.Retry.Retries,
            Backoff = new BackoffSettings
            {
                Type = work.Retry.Backoff,
                DelayMs = work.Retry.DelayMs,
                MaxDelayMs = work.Retry.MaxDelayMs,
                Jitter = work.Retry.Jitter,
            },
            TtlMs = job.TtlMs,
            Tags = stored.Tags,
            ConcurrencyKey = job.ConcurrencyKey,
            ConcurrencyLimit = job.ConcurrencyLimit,
            RateLimit = job is { RateStarts: { } starts, RatePeriodMs: { } period } ? new RateLimitSettings { Starts = starts, PeriodMs = period } : null,
        };
    }

    /// <summary>Absent, which is not empty: a null array would become empty memory.</summary>
    private static ReadOnlyMemory<byte>? NoBytes => null;
}
