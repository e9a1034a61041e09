using Flint.Data;
using Flint.Runtime.Invocation;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Queue.Workers;

/// <summary>How one attempt went.</summary>
/// <param name="Outcome">As of any invocation.</param>
/// <param name="Spec">What ran; null when it did not come so far, and for a delivery.</param>
internal readonly record struct Attempt(InvocationOutcome Outcome, FunctionSpec? Spec);

/// <summary>Runs one attempt of an item: a job's code, a function as it is now, or a delivery. What goes wrong before it runs is an outcome too. Thread-safe.</summary>
internal sealed partial class JobRunner(
    JobCode code, FunctionCatalog catalog, Func<InvocationRequest, CancellationToken, CancellationToken, Task<InvocationOutcome>> dispatch, DeliverAsync deliver, TimeProvider time,
    ILogger<JobRunner> log)
{
    private static readonly byte[] EmptyEvent = "{}"u8.ToArray(), NoArguments = "[]"u8.ToArray();

    /// <param name="stopping">The worker stops: what has no sandbox yet is not begun.</param>
    public async Task<Attempt> RunAsync(RunningItem running, QueuedWork work, CancellationToken stopping)
    {
        var item = running.Item;
        try
        {
            return work switch
            {
                { Job: { } job } => await RunJobAsync(running, job, stopping),
                { Function: not null, Depth: > QueuedWork.MaxDepth } => Failed(FaultType.LoopDetected,
                    $"Destinations led from function to function more than {QueuedWork.MaxDepth} times: two that name each other never end."),
                { Function: { } function } => await RunFunctionAsync(running, function, stopping),
                { Delivery: { } delivery } => new Attempt(await deliver(item, delivery, running.Aborting), null),
                _ => Failed(FaultType.EngineUnavailable, "This server does not know this kind of work; a newer one queued it."),
            };
        }
        catch (OperationCanceledException) when (running.Aborting.IsCancellationRequested)
        {
            return Failed(FaultType.SandboxLost, "The worker gave the invocation up.");
        }
        catch (RefusedException refused) when (refused.Code is "function_not_found" or "qualifier_not_found" or "version_not_found" or "alias_not_found")
        {
            return Failed(FaultType.FunctionNotFound, $"The function was there when this was queued, and is gone: {refused.Message}");
        }
        catch (RefusedException refused)
        {
            return Failed(FaultType.InvalidPayload, $"The job's code cannot be unpacked: {refused.Message}");
        }
        catch (Exception exception) when (exception is DatabaseException or CodeMissingException or IOException or UnauthorizedAccessException)
        {
            // Here and now; another worker, or this one later, may fare better.
            LogUnable(exception, item.Id);
            return Failed(FaultType.EngineUnavailable, "The worker could not read what it was to run; its log has the details.");
        }
    }

    public Attempt Failed(FaultType type, string message) => new(
        new InvocationOutcome { Status = InvocationStatus.Failed, Error = new InvocationError(type, message), CompletedAt = time.GetUtcNow() }, null);

    private async Task<Attempt> RunJobAsync(RunningItem running, JobWork job, CancellationToken stopping)
    {
        var item = running.Item;
        if (item.Source is not { } source)
        {
            return Failed(FaultType.InvalidPayload, "The job's code is not there.");
        }

        using var rented = await code.RentAsync(item.TenantId, job.FileName, source, running.Aborting);
        var spec = JobSpec.Of(item, job, rented);
        return await DispatchAsync(running, spec, item.Payload ?? NoArguments, stopping);
    }

    private async Task<Attempt> RunFunctionAsync(RunningItem running, FunctionWork function, CancellationToken stopping)
    {
        var item = running.Item;
        var entry = await catalog.ResolveAsync(item.TenantId, function.Name, function.Qualifier, running.Aborting);
        // Nobody waits for it, so nobody can go away.
        var spec = entry.Spec.CancelOnDisconnect ? entry.Spec with { CancelOnDisconnect = false } : entry.Spec;
        return await DispatchAsync(running, spec, item.Payload ?? EmptyEvent, stopping);
    }

    private async Task<Attempt> DispatchAsync(RunningItem running, FunctionSpec spec, ReadOnlyMemory<byte> payload, CancellationToken stopping) =>
        new(await dispatch(new InvocationRequest { Id = running.Item.Id, Function = spec, Payload = payload }, stopping, running.Aborting), spec);

    [LoggerMessage(2611, LogLevel.Warning, "Invocation {InvocationId} could not be begun; it is tried again")]
    private partial void LogUnable(Exception exception, string invocationId);
}
