using Flint.Data.Invocations;
using Flint.Data.Queue;

namespace Flint.Data.Sqlite;

/// <summary>The queue in SQLite: each write is a command of the one writer, whose cursors need no lock; reads go to the pool.</summary>
internal sealed class SqliteQueueStore(SqliteDatabase database, TimeProvider time) : IQueueStore
{
    private readonly SqliteClaim _claim = new();
    private readonly SqliteQueueReads _reads = new(database, time);
    private readonly SqliteInvocationStore _records = new(database);

    public async Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        var storable = new QueueEntry[entries.Count];
        for (var i = 0; i < storable.Length; i++)
        {
            storable[i] = QueueRules.Storable(entries[i]);
        }

        return await WriteAsync(scope => SqliteEnqueue.Add(scope, storable, Now()), cancellationToken);
    }

    public async Task<ClaimResult> ClaimAsync(ClaimRequest request, CancellationToken cancellationToken)
    {
        QueueRules.Check(request);
        return await WriteAsync(scope => _claim.Run(scope, request, NowMicroseconds()), cancellationToken);
    }

    public async Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<Settlement> settlements, CancellationToken cancellationToken)
    {
        var storable = new Settlement[settlements.Count];
        for (var i = 0; i < storable.Length; i++)
        {
            storable[i] = QueueRules.Storable(settlements[i]);
        }

        return await WriteAsync(scope => SqliteSettle.All(scope, storable, Now()), cancellationToken);
    }

    public async Task<string?> CancelAsync(string tenantId, string id, CancellationToken cancellationToken) =>
        InvocationId.TryParse(id, out var key) ? await WriteAsync(scope => SqliteEnd.Cancel(scope, tenantId, key, Now()), cancellationToken) : null;

    public async Task<IReadOnlyList<string>> ExpireAsync(int limit, CancellationToken cancellationToken) =>
        await WriteAsync(scope => SqliteEnd.Expire(scope, limit, Now()), cancellationToken);

    public async Task RegisterAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) =>
        await WriteAsync(scope => SqliteWorkers.Register(scope, worker, Now(), lease), cancellationToken);

    public async Task<Renewal> RenewAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) =>
        await WriteAsync(scope => SqliteWorkers.Renew(scope, worker, Now(), lease), cancellationToken);

    public async Task LeaveAsync(string workerId, CancellationToken cancellationToken) =>
        await WriteAsync(scope => SqliteWorkers.Leave(scope, workerId), cancellationToken);

    public async Task<bool> AskDrainAsync(string workerId, bool drain, CancellationToken cancellationToken) =>
        await WriteAsync(scope => SqliteWorkers.AskDrain(scope, workerId, drain, Now()), cancellationToken);

    public async Task<RescueResult> RescueAsync(int maxLosses, bool all, string? exceptWorkerId, CancellationToken cancellationToken) =>
        await WriteAsync(scope => SqliteRescue.Run(scope, maxLosses, all, exceptWorkerId, Now()), cancellationToken);

    public Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken) => _reads.WorkersAsync(cancellationToken);

    public async Task SetLaneAsync(string tenantId, string lane, bool? paused, LaneLimits? limits, CancellationToken cancellationToken)
    {
        QueueRules.Check(limits);
        await WriteAsync(scope => SqliteLanes.Set(scope, StorableText.Clean(tenantId)!, StorableText.Clean(lane)!, paused, limits, Now()), cancellationToken);
    }

    public Task<LaneView> LaneAsync(string tenantId, string lane, CancellationToken cancellationToken) =>
        _reads.LaneAsync(StorableText.Clean(tenantId)!, StorableText.Clean(lane)!, cancellationToken);

    public async Task<int> TidyAsync(TimeSpan unused, CancellationToken cancellationToken)
    {
        var lanes = await _reads.UnusedLanesAsync(unused, cancellationToken);
        return await WriteAsync(scope => SqliteLanes.Tidy(scope, lanes, unused, Now()), cancellationToken);
    }

    public Task<QueueDepth> DepthAsync(string? tenantId, int most, CancellationToken cancellationToken) => _reads.DepthAsync(tenantId, most, cancellationToken);

    public Task<int> CountAsync(InvocationQuery query, int most, CancellationToken cancellationToken) => _records.CountAsync(query, most, cancellationToken);

    public Task<StoredWork?> WorkAsync(string tenantId, string id, CancellationToken cancellationToken) => _reads.WorkAsync(tenantId, id, cancellationToken);

    private Task<T> WriteAsync<T>(Func<SqliteWriteScope, T> work, CancellationToken cancellationToken) => database.Writer.RunAsync(work, cancellationToken, repeatable: true);

    private long Now() => time.GetUtcNow().ToUnixTimeMilliseconds();

    private long NowMicroseconds() => (time.GetUtcNow().UtcTicks - DateTimeOffset.UnixEpoch.UtcTicks) / TimeSpan.TicksPerMicrosecond;
}
