using Flint.Data;
using Flint.Data.Queue;
using Flint.Runtime.Hosting;
using Flint.Server.Packages;
using Flint.Server.Queue.Functions;
using Flint.Server.Services;

namespace Flint.Server.Queue.Destinations;

/// <summary>Adds to a settlement what follows from the end, so that it is committed with it. Never fails for the sake of a destination: the invocation has run. Thread-safe.</summary>
internal sealed partial class DestinationService(
    FunctionCatalog catalog, InvocationIds ids, WebhookOptions webhooks, LimitOptions limits, TimeProvider time, ILogger<DestinationService> log)
{
    public async Task<Settlement.Finished> FollowAsync(Settlement.Finished finished, ClaimedItem item, QueuedWork work, CancellationToken cancellationToken)
    {
        if (DestinationPlanner.Of(work, finished.Row.Status) is not { } destination)
        {
            return finished;
        }

        if (destination.DeadLetterList is { } list)
        {
            // Redriving needs the event, whatever else history keeps.
            return finished with { DeadLetterList = list, KeepPayload = true };
        }

        var now = time.GetUtcNow();
        var record = DestinationRecord.Write(finished.Row, item, work.Retry, now, limits.MaxPayloadBytes);
        if (destination.Webhook is not null)
        {
            return finished with { Then = [DestinationPlanner.Deliver(destination, finished.Row.Status, item, record, webhooks, ids.Next(now), now)] };
        }

        var function = AsyncSettingsRules.Split(destination.Function!);
        var target = await ResolveAsync(item, function, cancellationToken).ConfigureAwait(false);
        return finished with { Then = [DestinationPlanner.Invoke(function, target, item, work.Depth, record, ids.Next(now), now)] };
    }

    private async Task<CatalogEntry?> ResolveAsync(ClaimedItem item, FunctionWork function, CancellationToken cancellationToken)
    {
        try
        {
            return await catalog.ResolveAsync(item.TenantId, function.Name, function.Qualifier, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is RefusedException or DatabaseException or CodeMissingException or IOException or UnauthorizedAccessException)
        {
            LogUnresolved(exception.Message, function.Name, item.Id);
            return null;
        }
    }

    [LoggerMessage(2651, LogLevel.Warning, "The function {Function}, a destination of invocation {InvocationId}, could not be looked up, and is queued without its own settings: {Reason}")]
    private partial void LogUnresolved(string reason, string function, string invocationId);
}
