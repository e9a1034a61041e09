using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue.Functions;
using Flint.Server.Services;

namespace Flint.Server.Queue.Destinations;

/// <summary>What follows from an invocation's end. Pure.</summary>
internal static class DestinationPlanner
{
    /// <summary>A delivery is tried again until it is too old, however often that is.</summary>
    private const int DeliveryRetries = 100;

    private const int FirstDelayMs = 5000;
    private const int LongestDelayMs = 60 * 60 * 1000;

    /// <summary>Where an end leads; null: nowhere. Who cancels an invocation wants nothing of it any more.</summary>
    public static Destination? Of(QueuedWork work, string status) => status switch
    {
        "COMPLETED" => work.OnSuccess,
        "FAILED" => work.OnFailure,
        _ => null,
    };

    /// <summary>The invocation of a function that is a destination.</summary>
    /// <param name="function">As the destination names it.</param>
    /// <param name="target">What that is now; null: not there, or nobody could look it up.</param>
    /// <param name="cause">What was run.</param>
    /// <param name="depth">Of the cause.</param>
    /// <param name="record">The destination record.</param>
    /// <param name="id">Made from <paramref name="now"/>.</param>
    public static QueueEntry Invoke(FunctionWork function, CatalogEntry? target, ClaimedItem cause, int depth, byte[] record, string id, DateTimeOffset now)
    {
        var entry = target is null
            ? FunctionEntries.MakeUnresolved(cause.TenantId, function, id, now, record, depth + 1)
            : FunctionEntries.Make(target, function.Qualifier, id, now, record, depth + 1);
        if (depth >= QueuedWork.MaxDepth)
        {
            // It will be refused when it begins, which its record tells; nothing follows from that.
            entry = entry with { WorkJson = (QueuedWork.Parse(entry.WorkJson) with { OnSuccess = null, OnFailure = null }).ToJson() };
        }

        return entry with { Tags = [Tag(cause)] };
    }

    /// <summary>The request to a webhook that is a destination.</summary>
    public static QueueEntry Deliver(Destination webhook, string status, ClaimedItem cause, byte[] record, WebhookOptions options, string id, DateTimeOffset now) => new()
    {
        Row = new InvocationRow
        {
            TenantId = cause.TenantId,
            Id = id,
            FunctionId = "",
            FunctionName = "",
            Version = "",
            Mode = "delivery",
            Status = "PENDING",
            CreatedAt = Times.ToMilliseconds(now),
            Payload = record,
        },
        WorkJson = new QueuedWork
        {
            Delivery = new DeliveryWork(webhook.Webhook!, webhook.Secret, cause.Id, status == "COMPLETED" ? "invocation.completed" : "invocation.failed"),
            Retry = new RetryRules { Retries = DeliveryRetries, MaxAgeMs = options.MaxAgeMs, DelayMs = FirstDelayMs, MaxDelayMs = LongestDelayMs },
        }.ToJson(),
        Lane = Lanes.OfHost(new Uri(webhook.Webhook!).IdnHost),
        Limits = new LaneLimits(options.MaxPerHost, null),
        Tags = [Tag(cause)],
    };

    /// <summary>Finds what an invocation led to.</summary>
    private static string Tag(ClaimedItem cause) => "cause:" + cause.Id;
}
