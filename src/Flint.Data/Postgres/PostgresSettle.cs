using Flint.Data.Invocations;
using Flint.Data.Queue;
using Npgsql;
using NpgsqlTypes;
using static Flint.Data.Postgres.PostgresParameters;

namespace Flint.Data.Postgres;

/// <summary>Settles attempts in one transaction: those that are finished by one statement, those that go back by another, and what follows from ends by a third.</summary>
internal sealed class PostgresSettle(PostgresDatabase database)
{
    private const string Requeue = """
        WITH held AS MATERIALIZED (
            SELECT q.tenant_id, q.id, f.delay, f.given_back, f.released, f.attempts
            FROM unnest($1, $2, $3, $4, $5, $6, $7) f (tenant_id, id, lease_no, delay, given_back, released, attempts)
            JOIN queue q ON q.tenant_id = f.tenant_id AND q.id = f.id
            WHERE q.state = 'RUNNING' AND q.lease_no = f.lease_no
            ORDER BY q.tenant_id, q.id FOR UPDATE OF q),
        noted AS (
            INSERT INTO invocation_data (tenant_id, id, log_dropped_lines, log_dropped_bytes, attempts)
            SELECT tenant_id, id, 0, 0, attempts FROM held WHERE attempts IS NOT NULL
            ON CONFLICT (tenant_id, id) DO UPDATE SET attempts = excluded.attempts)
        UPDATE queue q SET
            state = CASE WHEN h.delay > 0 THEN 'DELAYED' ELSE 'READY' END,
            run_at = CASE WHEN h.released THEN q.run_at ELSE clock_timestamp() + h.delay * interval '1 microsecond' END,
            attempt = q.attempt - h.given_back, worker_id = NULL, claimed_at = NULL, limited = FALSE,
            expires_at = CASE WHEN h.given_back = 0 THEN NULL ELSE q.expires_at END
        FROM held h WHERE q.tenant_id = h.tenant_id AND q.id = h.id
        RETURNING q.tenant_id, q.id, q.lease_no
        """;

    public async Task<IReadOnlyList<bool>> SettleAsync(IReadOnlyList<Settlement> settlements, CancellationToken cancellationToken)
    {
        if (settlements.Count == 0)
        {
            return [];
        }

        // Of two for one lease the first counts.
        var asked = settlements.Where(settlement => InvocationId.TryParse(settlement.Id, out _)).Select(QueueRules.Storable).DistinctBy(Key)
            .OrderBy(settlement => settlement.TenantId, StringComparer.Ordinal).ThenBy(settlement => settlement.Id, StringComparer.Ordinal)
            .ToList();
        var held = await database.RunAsync(connection => SettleAsync(connection, asked, cancellationToken), cancellationToken);
        return [.. settlements.Select(settlement => held.Remove(Key(settlement)))];
    }

    private static async Task<HashSet<(string, string, long)>> SettleAsync(NpgsqlConnection connection, List<Settlement> asked, CancellationToken cancellationToken)
    {
        var finished = asked.OfType<Settlement.Finished>().ToList();
        var returned = asked.Where(settlement => settlement is not Settlement.Finished).ToList();
        var leads = finished.Exists(settlement => settlement.Then.Count > 0);
        await using var batch = new NpgsqlBatch(connection);
        batch.Begin();
        if (finished.Count > 0)
        {
            PostgresFinish.Add(batch, finished);
        }

        if (returned.Count > 0)
        {
            AddRequeue(batch.Add(Requeue), returned);
        }

        if (!leads)
        {
            batch.Commit();
        }

        var held = new HashSet<(string, string, long)>();
        await using (var reader = await batch.ExecuteReaderAsync(cancellationToken))
        {
            do
            {
                while (await reader.ReadAsync(cancellationToken))
                {
                    held.Add((reader.GetString(0), reader.GetGuid(1).ToString("D"), reader.GetInt64(2)));
                }
            }
            while (await reader.NextResultAsync(cancellationToken));
        }

        if (leads)
        {
            await FollowAsync(connection, [.. finished.Where(settlement => held.Contains(Key(settlement))).SelectMany(settlement => settlement.Then)], cancellationToken);
        }

        return held;
    }

    /// <summary>What the ends lead to, only of those whose lease was held; and the commit.</summary>
    private static async Task FollowAsync(NpgsqlConnection connection, IReadOnlyList<QueueEntry> entries, CancellationToken cancellationToken)
    {
        await using var batch = new NpgsqlBatch(connection);
        if (entries.Count > 0)
        {
            PostgresEnqueue.Add(batch, entries);
        }

        batch.Commit();
        await batch.ExecuteNonQueryAsync(cancellationToken);
    }

    private static void AddRequeue(NpgsqlParameterCollection parameters, List<Settlement> rows) => parameters
        .Column(NpgsqlDbType.Text, rows, row => row.TenantId)
        .Column(NpgsqlDbType.Uuid, rows, row => Guid.ParseExact(row.Id, "D"))
        .Column(NpgsqlDbType.Bigint, rows, row => row.LeaseNo)
        .Column(NpgsqlDbType.Bigint, rows, row => row is Settlement.Retry retry ? Microseconds(retry.Delay) : 0)
        .Column(NpgsqlDbType.Integer, rows, row => row is Settlement.Retry { CountsAsAttempt: true } ? 0 : 1)
        .Column(NpgsqlDbType.Boolean, rows, row => row is Settlement.Release)
        .Column(NpgsqlDbType.Text, rows, row => (row as Settlement.Retry)?.AttemptsJson);

    private static (string, string, long) Key(Settlement settlement) => (settlement.TenantId, settlement.Id, settlement.LeaseNo);
}
