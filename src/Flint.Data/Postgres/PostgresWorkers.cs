using Flint.Data.Queue;
using Npgsql;
using NpgsqlTypes;

namespace Flint.Data.Postgres;

/// <summary>Workers and their leases, by the database's clock alone.</summary>
internal sealed class PostgresWorkers(PostgresDatabase database)
{
    // Again after a lost answer: the lease runs from now.
    private const string Register = """
        INSERT INTO workers (id, name, product_version, roles, places, running, draining, drain_asked, details, started_at, seen_at, lease_until)
        SELECT $1, $2, $3, $4, $5, $6, $7, $7, $8, t.now, t.now, t.now + $9 FROM (SELECT clock_timestamp() AS now) t
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, lease_until = excluded.lease_until
        """;

    private const string Renew = """
        UPDATE workers w SET name = $2, product_version = $3, roles = $4, places = $5, running = $6, draining = $7, details = $8, seen_at = t.now, lease_until = t.now + $9
        FROM (SELECT clock_timestamp() AS now) t WHERE w.id = $1 AND w.lease_until > t.now
        RETURNING w.drain_asked
        """;

    private const string Leased = "SELECT tenant_id, id, lease_no FROM queue WHERE state = 'RUNNING' AND worker_id = $1";

    private const string GiveBack = """
        UPDATE queue q SET state = 'READY', worker_id = NULL, claimed_at = NULL, limited = FALSE, attempt = q.attempt - 1
        FROM (SELECT tenant_id, id FROM queue WHERE state = 'RUNNING' AND worker_id = $1 ORDER BY tenant_id, id FOR UPDATE) l
        WHERE q.tenant_id = l.tenant_id AND q.id = l.id
        """;

    private const string All = """
        SELECT id, name, product_version, roles, places, running, draining, details, started_at, seen_at,
            (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float8, drain_asked
        FROM workers ORDER BY name, id
        """;

    public Task RegisterAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => database.RunAsync(
        async connection =>
        {
            await using var command = new NpgsqlCommand(Register, connection);
            Add(command.Parameters, worker, lease);
            return await command.ExecuteNonQueryAsync(cancellationToken);
        },
        cancellationToken);

    public Task<Renewal> RenewAsync(WorkerInfo worker, TimeSpan lease, CancellationToken cancellationToken) => database.RunAsync(
        async connection =>
        {
            await using var batch = new NpgsqlBatch(connection);
            Add(batch.Add(Renew), worker, lease);
            batch.Add(Leased).Text(worker.Id);
            await using var reader = await batch.ExecuteReaderAsync(cancellationToken);
            if (!await reader.ReadAsync(cancellationToken))
            {
                return new Renewal(Held: false, [], DrainAsked: false);
            }

            var drain = reader.GetBoolean(0);
            await reader.NextResultAsync(cancellationToken);
            var items = new List<LeasedItem>();
            while (await reader.ReadAsync(cancellationToken))
            {
                items.Add(new LeasedItem(reader.GetString(0), reader.GetGuid(1).ToString("D"), reader.GetInt64(2)));
            }

            return new Renewal(Held: true, items, drain);
        },
        cancellationToken);

    /// <summary>The worker goes first: a claim of its own that is still under way then finds no lease.</summary>
    public Task LeaveAsync(string workerId, CancellationToken cancellationToken) => database.RunAsync(
        async connection =>
        {
            await using var batch = new NpgsqlBatch(connection);
            batch.Add("DELETE FROM workers WHERE id = $1").Text(workerId);
            batch.Add(GiveBack).Text(workerId);
            return await batch.ExecuteNonQueryAsync(cancellationToken);
        },
        cancellationToken);

    public Task<bool> AskDrainAsync(string workerId, bool drain, CancellationToken cancellationToken) => database.RunAsync(
        async connection =>
        {
            await using var command = new NpgsqlCommand("UPDATE workers SET drain_asked = $2 WHERE id = $1 AND lease_until > clock_timestamp()", connection);
            command.Parameters.Text(workerId).Bool(drain);
            return await command.ExecuteNonQueryAsync(cancellationToken) > 0;
        },
        cancellationToken);

    public async Task<IReadOnlyList<WorkerRow>> WorkersAsync(CancellationToken cancellationToken) =>
        await database.ReadAsync(All, _ => { }, PostgresQueueRows.Worker, cancellationToken);

    private static void Add(NpgsqlParameterCollection parameters, WorkerInfo worker, TimeSpan lease) => parameters
        .Text(worker.Id).Text(StorableText.Clean(worker.Name)).Text(worker.ProductVersion).Text(worker.Roles)
        .Int(worker.Places).Int(worker.Running).Bool(worker.Draining).Text(StorableText.Clean(worker.DetailsJson))
        .Value(lease, NpgsqlDbType.Interval);
}
