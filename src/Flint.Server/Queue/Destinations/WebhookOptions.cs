using System.ComponentModel.DataAnnotations;
using Flint.Engines.Native.Egress;

namespace Flint.Server.Queue.Destinations;

/// <summary>Requests to webhooks, the destinations of asynchronous invocations: docs/async.md.</summary>
public sealed class WebhookOptions
{
    /// <summary>
    /// Addresses and CIDR ranges that may be reached although they are private or otherwise special. An address of this machine, its loopback among them, is opened only by an entry for that one address.
    /// </summary>
    public string[] AllowPrivate { get; set; } = [];

    /// <summary>How long one request may take, from its name's resolution to the answer's headers, in milliseconds.</summary>
    /// <remarks>What others give a webhook.</remarks>
    [Range(100, 300_000)]
    public int TimeoutMs { get; set; } = 10_000;

    /// <summary>For how long a delivery that fails is tried again, in milliseconds.</summary>
    /// <remarks>A day, in which a service that is down comes back.</remarks>
    [Range(0, 31L * 24 * 60 * 60 * 1000)]
    public long MaxAgeMs { get; set; } = 24L * 60 * 60 * 1000;

    /// <summary>Deliveries to one host at a time, from all servers together.</summary>
    /// <remarks>A slow host holds this many of the workers' places.</remarks>
    [Range(1, 1000)]
    public int MaxPerHost { get; set; } = 8;

    /// <summary>All problems at once; empty when there are none.</summary>
    internal IEnumerable<string> Validate() => AllowPrivate
        .Where(static range => AddressRanges.Parse(range) is null)
        .Select(static range => $"Flint:Webhooks:AllowPrivate has '{range}'; it must be an address or a CIDR range without bits beyond its prefix length, such as 10.1.2.0/24.");
}
