using Flint.Data.Migrations;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>
/// Runs the pending scripts, each in a transaction, under a session's advisory lock: servers that start together run each script once, and
/// the lock ends with the connection of a killed one.
/// </summary>
internal sealed class PostgresMigrator(string database, IReadOnlyList<MigrationScript> scripts, TimeProvider time)
{
    // Any number that other software on the same database is unlikely to use.
    private const long LockKey = 0x466C696E74_01;

    /// <param name="connection">An open connection of the migrator's own; closing it releases the lock.</param>
    /// <returns>How many scripts ran.</returns>
    public async Task<int> MigrateAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await ExecuteAsync(connection, $"SET lock_timeout = '60s'; SELECT pg_advisory_lock({LockKey}); SET lock_timeout = 0", cancellationToken);
        await ExecuteAsync(connection, """
            CREATE TABLE IF NOT EXISTS schema_version (
                version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL)
            """, cancellationToken);
        var pending = MigrationPlan.Pending(database, scripts, await AppliedAsync(connection, cancellationToken));
        foreach (var script in pending)
        {
            await ApplyAsync(connection, script, cancellationToken);
        }

        return pending.Count;
    }

    private async Task ApplyAsync(NpgsqlConnection connection, MigrationScript script, CancellationToken cancellationToken)
    {
        await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
        await ExecuteAsync(connection, script.Sql, cancellationToken);
        await using var insert = new NpgsqlCommand("INSERT INTO schema_version VALUES ($1, $2, $3, $4)", connection, transaction);
        insert.Parameters.Add(new NpgsqlParameter { Value = script.Version });
        insert.Parameters.Add(new NpgsqlParameter { Value = script.Name });
        insert.Parameters.Add(new NpgsqlParameter { Value = script.Checksum });
        insert.Parameters.Add(new NpgsqlParameter { Value = time.GetUtcNow().UtcDateTime });
        await insert.ExecuteNonQueryAsync(cancellationToken);
        await transaction.CommitAsync(cancellationToken);
    }

    private static async Task<List<AppliedMigration>> AppliedAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand("SELECT version, name, checksum FROM schema_version ORDER BY version", connection);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var applied = new List<AppliedMigration>();
        while (await reader.ReadAsync(cancellationToken))
        {
            applied.Add(new AppliedMigration(reader.GetInt32(0), reader.GetString(1), reader.GetString(2)));
        }

        return applied;
    }

    /// <summary>Without a time limit: building an index over a long history takes what it takes.</summary>
    private static async Task ExecuteAsync(NpgsqlConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = new NpgsqlCommand(sql, connection) { CommandTimeout = 0 };
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
