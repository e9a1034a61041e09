using Flint.Contracts.Workers;
using Flint.Data.Catalog;
using Flint.Data.Queue;
using Flint.Server.Services;

namespace Flint.Server.Queue;

/// <summary>The queues of deployed functions: each is a lane, which can be held up and let go. Thread-safe.</summary>
internal sealed class FunctionQueues(ICatalogStore catalog, IQueueStore store, QueueNotices notices)
{
    /// <summary>Throws <see cref="RefusedException"/> (404) when there is no such function.</summary>
    public async Task<FunctionQueueView> GetAsync(string tenantId, string name, CancellationToken cancellationToken) =>
        await ViewAsync(tenantId, name, await LaneAsync(tenantId, name, cancellationToken), cancellationToken);

    /// <summary>What runs goes on; what waits stays. Synchronous invocations are no part of it.</summary>
    public async Task<FunctionQueueView> PauseAsync(string tenantId, string name, bool paused, CancellationToken cancellationToken)
    {
        var lane = await LaneAsync(tenantId, name, cancellationToken);
        await store.SetLaneAsync(tenantId, lane, paused, null, cancellationToken);
        if (!paused)
        {
            notices.Enqueued();
        }

        return await ViewAsync(tenantId, name, lane, cancellationToken);
    }

    private async Task<string> LaneAsync(string tenantId, string name, CancellationToken cancellationToken)
    {
        var function = await catalog.ReadAsync((db, token) => FunctionService.FindAsync(db, tenantId, Names.CheckFunction(name), token), cancellationToken);
        return Lanes.OfFunction(function.Id);
    }

    private async Task<FunctionQueueView> ViewAsync(string tenantId, string name, string lane, CancellationToken cancellationToken)
    {
        var view = await store.LaneAsync(tenantId, lane, cancellationToken);
        return new FunctionQueueView(name, view.Paused, view.Waiting, view.Running);
    }
}
