using Flint.Data.Invocations;
using Flint.Data.Queue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>The queue on PostgreSQL. Everything is run again after a lost connection or a deadlock: each write is one transaction that may be repeated.</summary>
internal sealed class PostgresQueueStore(PostgresDatabase database, TimeProvider time, ILoggerFactory loggers) : IQueueStore, IAsyncDisposable
{
    private readonly PostgresClaim _claim = new(database);
    private readonly PostgresSettle _settle = new(database);
    private readonly PostgresEnds _ends = new(database);
    private readonly PostgresWorkers _workers = new(database);
    private readonly PostgresLanes _lanes = new(database);
    private readonly PostgresQueueReads _reads = new(database);
    private readonly PostgresVacuum _vacuum = new(database, time, loggers.CreateLogger<PostgresVacuum>());
    private readonly PostgresInvocationStore _records = new(database);

    public async Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        if (entries.Count == 0)
        {
            return [];
        }

        var storable = entries.Select(QueueRules.Storable).ToList();
        return await database.RunAsync(
            async connection =>
            {
                await using var batch = new NpgsqlBatch(connection);
                batch.Begin();
                PostgresEnqueue.Add(batch, storable);
                batch.Commit();
                await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
                var outcomes = await PostgresEnqueue.OutcomesAsync(reader, storable, cancellationToken);
                await reader.CompleteAsync(cancellationToken);
                return outcomes;
            },
            cancellationToken);
    }

    public Task<ClaimResult> ClaimAsync(ClaimRequest request, CancellationToken cancellationToken) => _claim.ClaimAsync(request, cancellationToken);

    public async Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<Settlement> settlements, CancellationToken cancellationToken)
    {
        var held = await _settle.SettleAsync(settlements, cancellationToken);
        // The row as it waited, and as it ran.
        _vacuum.Count(2 * held.Count);
        return held;
    }

    public ValueTask DisposeAsync() => _vacuum.DisposeAsync();

    public Task<string?> CancelAsync(string tenantId, string id, CancellationToken cancellationToken) => _ends.CancelAsync(tenantId, id, cancellationToken);

    public Task<IReadOnlyList<string>> ExpireAsync(int limit, CancellationToken cancellationToken) => _ends.ExpireAsync(limit, cancellationToken);

    public Task RegisterAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => _workers.RegisterAsync(worker, lease, cancellationToken);

    public Task<Renewal> RenewAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => _workers.RenewAsync(worker, lease, cancellationToken);

    public Task LeaveAsync(string workerId, CancellationToken cancellationToken) => _workers.LeaveAsync(workerId, cancellationToken);

    public Task<bool> AskDrainAsync(string workerId, bool drain, CancellationToken cancellationToken) => _workers.AskDrainAsync(workerId, drain, cancellationToken);

    public Task<RescueResult> RescueAsync(int maxLosses, bool all, string? exceptWorkerId, CancellationToken cancellationToken) =>
        _ends.RescueAsync(maxLosses, all, exceptWorkerId, cancellationToken);

    public Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken) => _workers.WorkersAsync(cancellationToken);

    public Task SetLaneAsync(string tenantId, string lane, bool? paused, LaneLimits? limits, CancellationToken cancellationToken) =>
        _lanes.SetAsync(tenantId, lane, paused, limits, cancellationToken);

    public Task<LaneView> LaneAsync(string tenantId, string lane, CancellationToken cancellationToken) => _lanes.ViewAsync(tenantId, lane, cancellationToken);

    public Task<int> TidyAsync(TimeSpan unused, CancellationToken cancellationToken) => _lanes.TidyAsync(unused, cancellationToken);

    public Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken) => _reads.DepthAsync(tenantId, most, cancellationToken);

    public Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken) => _records.CountAsync(query, most, cancellationToken);

    public Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken) => _reads.WorkAsync(tenantId, id, cancellationToken);
}
