namespace Flint.Server.Queue;

/// <summary>The names of lanes: where an item waits, within its tenant. Stored, so they never change their meaning.</summary>
internal static class Lanes
{
    /// <summary>Jobs without a concurrency key.</summary>
    public const string Jobs = "jobs";

    /// <summary>By its id: a function that is made anew under an old name does not inherit the old one's pause.</summary>
    public static string OfFunction(string functionId) => "function:" + functionId;

    public static string OfKey(string concurrencyKey) => "key:" + concurrencyKey;

    /// <summary>Requests to the webhooks of one host: one that is slow or away keeps no other waiting.</summary>
    public static string OfHost(string host) => "host:" + host.ToLowerInvariant();
}
