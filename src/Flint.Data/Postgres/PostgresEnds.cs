using Flint.Data.Invocations;
using Flint.Data.Queue;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>Ends that no worker tells of: cancelled, expired, lost. One statement each.</summary>
internal sealed class PostgresEnds(PostgresDatabase database)
{
    private const int MostRescued = 1000;

    private static readonly End Cancelled = new("CANCELLED", QueueRules.Cancelled, QueueRules.CancelledJson);
    private static readonly End Expired = new("FAILED", QueueRules.Expired, QueueRules.ExpiredJson);

    // Of the rows that an "ended" before it has deleted from the queue: the records' ends, and what they keep.
    private const string Records = """
        cold AS (
            INSERT INTO invocation_data (tenant_id, id, error, log_dropped_lines, log_dropped_bytes)
            SELECT tenant_id, id, $1, 0, 0 FROM ended
            ON CONFLICT (tenant_id, id) DO UPDATE SET error = excluded.error),
        sized AS (
            SELECT e.tenant_id, e.id, e.attempt, e.claimed_at,
                octet_length($1)::bigint + octet_length(w.work) + coalesce(octet_length(w.source), 0) + coalesce(octet_length(w.payload), 0) AS bytes
            FROM ended e JOIN invocation_work w ON w.tenant_id = e.tenant_id AND w.id = e.id),
        hot AS (
            UPDATE invocations i SET
                status = $2, error_type = $3, started_at = date_trunc('milliseconds', s.claimed_at), completed_at = date_trunc('milliseconds', clock_timestamp()), attempts = s.attempt, data_bytes = s.bytes
            FROM sized s WHERE i.tenant_id = s.tenant_id AND i.id = s.id),
        totals AS (
            INSERT INTO invocation_totals AS t (tenant_id, data_bytes)
            SELECT tenant_id, sum(bytes)::bigint FROM sized GROUP BY tenant_id HAVING sum(bytes) > 0 ORDER BY tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET data_bytes = t.data_bytes + excluded.data_bytes)
        """;

    private const string Cancel = $"""
        WITH ended AS (DELETE FROM queue WHERE tenant_id = $4 AND id = $5 RETURNING tenant_id, id, attempt, worker_id, claimed_at),
        {Records}
        SELECT coalesce(worker_id, '') FROM ended
        """;

    private const string Expire = $"""
        WITH over AS MATERIALIZED (
            SELECT tenant_id, id FROM queue
            WHERE expires_at IS NOT NULL AND state <> 'RUNNING' AND expires_at <= (SELECT clock_timestamp())
            ORDER BY expires_at LIMIT $4 FOR UPDATE SKIP LOCKED),
        ended AS (
            DELETE FROM queue q USING over o WHERE q.tenant_id = o.tenant_id AND q.id = o.id RETURNING q.tenant_id, q.id, q.attempt, q.claimed_at),
        {Records}
        SELECT id FROM ended
        """;

    // Without a lease: whose worker is gone, or late. $6: everything but one worker's ($7).
    private const string Rescue = $"""
        WITH lost AS MATERIALIZED (
            SELECT q.tenant_id, q.id, q.losses + 1 >= $5 AS over FROM queue q
            WHERE q.state = 'RUNNING' AND CASE WHEN $6 THEN q.worker_id IS DISTINCT FROM $7
                ELSE NOT EXISTS (SELECT FROM workers w WHERE w.id = q.worker_id AND w.lease_until > clock_timestamp()) END
            ORDER BY q.tenant_id, q.id LIMIT $4 FOR UPDATE OF q SKIP LOCKED),
        again AS (
            UPDATE queue q SET state = 'READY', losses = q.losses + 1, worker_id = NULL, claimed_at = NULL, limited = FALSE, expires_at = NULL
            FROM lost l WHERE NOT l.over AND q.tenant_id = l.tenant_id AND q.id = l.id),
        ended AS (
            DELETE FROM queue q USING lost l WHERE l.over AND q.tenant_id = l.tenant_id AND q.id = l.id RETURNING q.tenant_id, q.id, q.attempt, q.claimed_at),
        {Records}
        SELECT id, over FROM lost
        """;

    private const string RemoveWorkers = """
        DELETE FROM workers w
        WHERE CASE WHEN $1 THEN w.id IS DISTINCT FROM $2 ELSE w.lease_until <= clock_timestamp() END
            AND NOT EXISTS (SELECT FROM queue q WHERE q.state = 'RUNNING' AND q.worker_id = w.id)
        """;

    public async Task<string?> CancelAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        if (!InvocationId.TryParse(id, out var key))
        {
            return null;
        }

        var found = await RunAsync(
            Cancel, Cancelled, parameters => parameters.Text(StorableText.Clean(tenantId)).Value(key, NpgsqlTypes.NpgsqlDbType.Uuid),
            reader => reader.GetString(0), cancellationToken);
        return found.Count == 0 ? null : found[0];
    }

    public async Task<IReadOnlyList<string>> ExpireAsync(int limit, CancellationToken cancellationToken) => await RunAsync(
        Expire, Expired, parameters => parameters.Int(limit), Id, cancellationToken);

    public async Task<RescueResult> RescueAsync(int maxLosses, bool all, string? exceptWorkerId, CancellationToken cancellationToken)
    {
        var found = new List<(string Id, bool Over)>();
        int page;
        do
        {
            var lost = await RunAsync(
                Rescue, Lost(maxLosses), parameters => parameters.Int(MostRescued).Int(maxLosses).Bool(all).Text(exceptWorkerId),
                reader => (Id(reader), reader.GetBoolean(1)), cancellationToken);
            page = lost.Count;
            found.AddRange(lost);
        }
        while (page == MostRescued);
        await database.RunAsync(connection => RemoveWorkersAsync(connection, all, exceptWorkerId, cancellationToken), cancellationToken);
        return new RescueResult([.. found.Where(item => !item.Over).Select(item => item.Id)], [.. found.Where(item => item.Over).Select(item => item.Id)]);
    }

    private static async Task<int> RemoveWorkersAsync(NpgsqlConnection connection, bool all, string? exceptWorkerId, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(RemoveWorkers, connection);
        command.Parameters.Bool(all).Text(exceptWorkerId);
        return await command.ExecuteNonQueryAsync(cancellationToken);
    }

    private Task<List<T>> RunAsync<T>(
        string sql, End end, Action<NpgsqlParameterCollection> parameters, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken) => database.ReadAsync(
        sql,
        collection =>
        {
            collection.Text(end.Error).Text(end.Status).Text(end.Type);
            parameters(collection);
        },
        read,
        cancellationToken);

    private static string Id(NpgsqlDataReader reader) => reader.GetGuid(0).ToString("D");

    private static End Lost(int losses) => new("FAILED", QueueRules.SandboxLost, QueueRules.SandboxLostJson(losses));

    private readonly record struct End(string Status, string Type, string Error);
}
