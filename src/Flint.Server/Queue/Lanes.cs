namespace Flint.Server.Queue;

/// <summary>The names of lanes: where an item waits, within its tenant. Stored, so they never change their meaning.</summary>
internal static class Lanes
{
    /// <summary>Jobs without a concurrency key.</summary>
    public const string Jobs = "jobs";

    /// <summary>Requests to webhooks.</summary>
    public const string Deliveries = "deliveries";

    /// <summary>By its id: a function that is made anew under an old name does not inherit the old one's pause.</summary>
    public static string OfFunction(string functionId) => "function:" + functionId;

    public static string OfKey(string concurrencyKey) => "key:" + concurrencyKey;
}
