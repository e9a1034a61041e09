using Flint.Data.Invocations;
using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;

namespace Flint.Server.Services;

/// <summary>How a synchronous invocation ended.</summary>
/// <param name="Row">Its record; in history already, but for one that was refused before it ran.</param>
/// <param name="Error">As the dispatcher classified it; null when it completed.</param>
/// <param name="Timings">Where its time went; not kept in history.</param>
internal readonly record struct InvocationAnswer(InvocationRow Row, InvocationError? Error, InvocationTimings Timings);

/// <summary>Synchronous invocations: resolve, dispatch, record, answer. Thread-safe.</summary>
internal sealed partial class InvocationService(
    FunctionCatalog catalog, Dispatcher dispatcher, InvocationRows rows, InvocationJournal journal, InvocationIds ids, LimitOptions limits, TimeProvider time,
    ILogger<InvocationService> log)
{
    private static readonly byte[] EmptyEvent = "{}"u8.ToArray();

    public ValueTask<CatalogEntry> ResolveAsync(string tenantId, string name, string? qualifier, CancellationToken cancellationToken) =>
        catalog.ResolveAsync(tenantId, name, qualifier, cancellationToken);

    /// <summary>
    /// Runs the function and records it, once, before this returns; also when the caller has gone, whose token counts only for functions
    /// that are set to cancel then. Throws <see cref="RefusedException"/> when the event is not JSON.
    /// </summary>
    public async ValueTask<InvocationAnswer> InvokeAsync(CatalogEntry entry, string? qualifier, byte[] payload, CancellationToken caller)
    {
        payload = payload.Length == 0 ? EmptyEvent : payload;
        if (JsonCheck.Fault(payload, limits.MaxJsonDepth) is { } fault)
        {
            throw new RefusedException("invalid_payload", $"The event cannot be taken: {fault}.", field: "body",
                limit: $"{limits.MaxJsonDepth} levels", knob: "Flint:Limits:MaxJsonDepth");
        }

        // What has run is recorded in any case, so what could not be recorded must not run.
        if (journal.IsOverloaded)
        {
            throw new RefusedException("throttled", "The database is too slow to record what runs, and the buffer is full. Try again later.",
                limit: "the buffer and half as much again", knob: "Flint:Database:JournalMaxBytes");
        }

        var createdAt = time.GetUtcNow();
        var id = ids.Next(createdAt);
        var outcome = await dispatcher.DispatchAsync(
            new InvocationRequest { Id = id, Function = entry.Spec, Payload = payload }, caller, CancellationToken.None).ConfigureAwait(false);
        var row = rows.Make(entry, id, qualifier, payload, createdAt, outcome);

        // What a limit refused did not happen: a flood of refusals must not push real invocations out of history.
        if (outcome.Error?.Type != FaultType.Throttled)
        {
            await journal.RecordAsync(row, entry.StrictHistory, CancellationToken.None).ConfigureAwait(false);
        }

        LogEnded(Api.ProblemMapping.LogLevel(outcome.Error?.Type), id, row.Status, row.ErrorType ?? "none");
        return new InvocationAnswer(row, outcome.Error, outcome.Timings);
    }

    [LoggerMessage(EventId = 2301, Message = "Invocation {InvocationId} ended {Status}, error {ErrorType}")]
    private partial void LogEnded(LogLevel level, string invocationId, string status, string errorType);
}
