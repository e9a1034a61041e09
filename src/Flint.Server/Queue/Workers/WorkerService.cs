using System.Text.Json;
using Flint.Contracts.Workers;
using Flint.Data.Queue;
using Flint.Server.Services;

namespace Flint.Server.Queue.Workers;

/// <summary>The workers of this installation, as people see and steer them. Thread-safe.</summary>
/// <param name="own">This server's own; null when it is none.</param>
internal sealed class WorkerService(IQueueStore store, WorkerLease? own)
{
    public async Task<WorkersView> ListAsync(CancellationToken cancellationToken) =>
        new([.. (await store.WorkersAsync(cancellationToken)).Select(View)]);

    /// <summary>Throws <see cref="RefusedException"/> (404) when there is no such worker. This server's own obeys at once, another with its next renewal.</summary>
    public async Task<WorkerView> DrainAsync(string id, bool drain, CancellationToken cancellationToken)
    {
        if (own is not null && own.Term?.WorkerId == id)
        {
            await own.DrainAsync(drain, cancellationToken);
        }
        else if (!await store.AskDrainAsync(id, drain, cancellationToken))
        {
            throw NotFound();
        }

        var row = (await store.WorkersAsync(cancellationToken)).FirstOrDefault(worker => worker.Info.Id == id) ?? throw NotFound();
        return View(row);
    }

    private static RefusedException NotFound() => new("worker_not_found", "There is no such worker, or its lease is over; see GET /api/workers.");

    private WorkerView View(WorkerRow row) => new()
    {
        Id = row.Info.Id,
        Name = row.Info.Name,
        ProductVersion = row.Info.ProductVersion,
        Roles = row.Info.Roles.Split(','),
        Self = own?.Term?.WorkerId == row.Info.Id,
        Status = Status(row),
        Places = row.Info.Places,
        Running = row.Info.Running,
        StartedAt = row.StartedAt,
        SeenAt = row.SeenAt,
        LeaseLeftMs = (long)row.LeaseLeft.TotalMilliseconds,
        Details = Details(row.Info.DetailsJson),
    };

    private static string Status(WorkerRow row) => row switch
    {
        { LeaseLeft.Ticks: <= 0 } => "lost",
        { Info: { Draining: true, Running: 0 }, DrainAsked: true } => "drained",
        { Info.Draining: true } or { DrainAsked: true } => "draining",
        _ => "active",
    };

    /// <summary>Those of a server of another version may look otherwise.</summary>
    private static WorkerDetailsView? Details(string json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, WorkerDetailsJson.Default.WorkerDetailsView);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
