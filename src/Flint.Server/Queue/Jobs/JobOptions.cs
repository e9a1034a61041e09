using System.ComponentModel.DataAnnotations;

namespace Flint.Server.Queue.Jobs;

/// <summary>Bounds on jobs, and what they get when they ask for nothing. What jobs and functions share stands under <c>Flint:Limits</c> and <c>Flint:Functions</c>.</summary>
public sealed class JobOptions
{
    /// <summary>Size of a job's code: its source text, all its files together, or its zip; in bytes. It is kept in the database with the job.</summary>
    /// <remarks>As inline code of functions.</remarks>
    [Range(1024, 64 * 1024 * 1024)]
    public int MaxCodeBytes { get; set; } = 4 * 1024 * 1024;

    /// <summary>Size of a job's zip when it is unpacked, in bytes.</summary>
    /// <remarks>A large test suite; it is unpacked anew for every attempt.</remarks>
    [Range(1024, 1024L * 1024 * 1024)]
    public long MaxUnzippedBytes { get; set; } = 64L * 1024 * 1024;

    /// <summary>Files of a job.</summary>
    /// <remarks>A large test suite with its fixtures.</remarks>
    [Range(1, 65534)]
    public int MaxFiles { get; set; } = 2000;

    /// <summary>Size of the body of a submission, in bytes. A bulk submission may have four times as much.</summary>
    /// <remarks>The largest code and the largest arguments, with room for escapes.</remarks>
    [Range(1024, 256 * 1024 * 1024)]
    public int MaxBodyBytes { get; set; } = 16 * 1024 * 1024;

    /// <summary>Jobs in one bulk submission.</summary>
    /// <remarks>One transaction that others hardly notice.</remarks>
    [Range(1, 10_000)]
    public int MaxBulk { get; set; } = 1000;

    /// <summary>A job's timeout when it names none, in milliseconds.</summary>
    /// <remarks>Long for a playground, short for a pipeline.</remarks>
    [Range(1, 24 * 60 * 60 * 1000)]
    public int DefaultTimeoutMs { get; set; } = 30_000;

    /// <summary>The longest timeout that a job may have, in milliseconds.</summary>
    /// <remarks>As functions'.</remarks>
    [Range(1, 24 * 60 * 60 * 1000)]
    public int MaxTimeoutMs { get; set; } = 900_000;

    /// <summary>A job's memory when it names none, in MB.</summary>
    /// <remarks>Enough for a test suite.</remarks>
    [Range(128, 1024 * 1024)]
    public int DefaultMemoryMb { get; set; } = 512;

    /// <summary>The most memory that a job may have, in MB.</summary>
    /// <remarks>As functions'.</remarks>
    [Range(128, 1024 * 1024)]
    public int MaxMemoryMb { get; set; } = 10240;

    /// <summary>A job's cores when it names none; a hard quota.</summary>
    /// <remarks>One busy loop.</remarks>
    [Range(0.05, 1024)]
    public double DefaultCpus { get; set; } = 1;

    /// <summary>The most cores that a job may have. 0: as many as this host has.</summary>
    [Range(0, 1024)]
    public double MaxCpus { get; set; }

    /// <summary>How far ahead a job may be put by <c>delayMs</c>, <c>runAt</c> and <c>ttlMs</c>, in milliseconds.</summary>
    /// <remarks>A year; what recurs is a schedule.</remarks>
    [Range(0, 10L * 366 * 24 * 60 * 60 * 1000)]
    public long MaxDelayMs { get; set; } = 366L * 24 * 60 * 60 * 1000;

    /// <summary>How often a job may ask to be tried again.</summary>
    /// <remarks>With doubling waits, far beyond what passes by itself.</remarks>
    [Range(0, 100)]
    public int MaxRetries { get; set; } = 20;

    /// <summary>How long after it was due a job is still tried again, whatever went wrong, in milliseconds.</summary>
    /// <remarks>A day, in which an operator comes by.</remarks>
    [Range(1000, 366L * 24 * 60 * 60 * 1000)]
    public long MaxAgeMs { get; set; } = 24L * 60 * 60 * 1000;

    /// <summary>All problems at once; empty when there are none.</summary>
    internal IEnumerable<string> Validate()
    {
        if (DefaultTimeoutMs > MaxTimeoutMs)
        {
            yield return $"Flint:Jobs:DefaultTimeoutMs: {DefaultTimeoutMs} is more than Flint:Jobs:MaxTimeoutMs, {MaxTimeoutMs}.";
        }

        if (DefaultMemoryMb > MaxMemoryMb)
        {
            yield return $"Flint:Jobs:DefaultMemoryMb: {DefaultMemoryMb} is more than Flint:Jobs:MaxMemoryMb, {MaxMemoryMb}.";
        }

        if (MaxCpus > 0 && DefaultCpus > MaxCpus)
        {
            yield return $"Flint:Jobs:DefaultCpus: {DefaultCpus} is more than Flint:Jobs:MaxCpus, {MaxCpus}.";
        }
    }
}
