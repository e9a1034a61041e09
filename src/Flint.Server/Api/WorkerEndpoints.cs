using Flint.Contracts;
using Flint.Contracts.Workers;
using Flint.Server.Queue;
using Flint.Server.Queue.Workers;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>The workers, and the queues of functions.</summary>
internal static class WorkerEndpoints
{
    public static void MapWorkers(this IEndpointRouteBuilder routes)
    {
        var workers = routes.MapGroup("/api/workers").WithTags("Workers");
        workers.MapGet("", ListAsync).WithName("listWorkers").WithSummary("The servers that take work from the queue, with their load").Produces<WorkersView>();
        workers.MapPost("{id}/drain", DrainAsync).WithName("drainWorker").WithSummary("Take no more work; what runs goes on").Produces<WorkerView>().Refuses(404);
        workers.MapPost("{id}/resume", ResumeAsync).WithName("resumeWorker").WithSummary("Take work again").Produces<WorkerView>().Refuses(404);

        var queue = routes.MapGroup("/api/functions/{name}/queue").WithTags("Functions");
        queue.MapGet("", QueueAsync).WithName("getFunctionQueue").WithSummary("A function's queued invocations, in numbers").Produces<FunctionQueueView>().Refuses(400, 404);
        queue.MapPost("pause", PauseAsync).WithName("pauseFunctionQueue").WithSummary("Begin no queued invocation of the function; what runs goes on")
            .Produces<FunctionQueueView>().Refuses(400, 404);
        queue.MapPost("resume", UnpauseAsync).WithName("resumeFunctionQueue").WithSummary("Begin queued invocations of the function again")
            .Produces<FunctionQueueView>().Refuses(400, 404);
    }

    private static async Task<IResult> ListAsync(WorkerService workers, CancellationToken cancellationToken) =>
        Answer.Json(await workers.ListAsync(cancellationToken), FlintJson.Default.WorkersView);

    private static async Task<IResult> DrainAsync(WorkerService workers, string id, CancellationToken cancellationToken) =>
        Answer.Json(await workers.DrainAsync(id, drain: true, cancellationToken), FlintJson.Default.WorkerView);

    private static async Task<IResult> ResumeAsync(WorkerService workers, string id, CancellationToken cancellationToken) =>
        Answer.Json(await workers.DrainAsync(id, drain: false, cancellationToken), FlintJson.Default.WorkerView);

    private static async Task<IResult> QueueAsync(FunctionQueues queues, string name, CancellationToken cancellationToken) =>
        Answer.Json(await queues.GetAsync(Tenants.Default, name, cancellationToken), FlintJson.Default.FunctionQueueView);

    private static async Task<IResult> PauseAsync(FunctionQueues queues, string name, CancellationToken cancellationToken) =>
        Answer.Json(await queues.PauseAsync(Tenants.Default, name, paused: true, cancellationToken), FlintJson.Default.FunctionQueueView);

    private static async Task<IResult> UnpauseAsync(FunctionQueues queues, string name, CancellationToken cancellationToken) =>
        Answer.Json(await queues.PauseAsync(Tenants.Default, name, paused: false, cancellationToken), FlintJson.Default.FunctionQueueView);
}
