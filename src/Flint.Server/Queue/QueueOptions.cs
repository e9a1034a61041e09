using System.ComponentModel.DataAnnotations;

namespace Flint.Server.Queue;

/// <summary>The queue: what may wait in it.</summary>
public sealed class QueueOptions
{
    /// <summary>Items of a tenant that wait, delayed ones included; more are refused with 429. Counted now and then, so that several servers may together go a little beyond.</summary>
    /// <remarks>About 2 GB at 2 KB an item.</remarks>
    [Range(1, 100_000_000)]
    public int MaxWaiting { get; set; } = 1_000_000;

    /// <summary>The event's size of an asynchronous invocation, in bytes.</summary>
    /// <remarks>AWS Lambda's limit of 1 MB.</remarks>
    [Range(1, 6 * 1024 * 1024)]
    public int MaxAsyncPayloadBytes { get; set; } = 1024 * 1024;
}
