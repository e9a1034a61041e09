using System.Globalization;
using Flint.Data.Migrations;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Sqlite;

/// <summary>
/// Runs the pending scripts, each in a transaction that takes the write lock before it looks: several processes that start together
/// run each script once, and a killed one leaves neither a lock nor half a script.
/// </summary>
internal sealed class SqliteMigrator(string path, IReadOnlyList<MigrationScript> scripts, TimeProvider time)
{
    /// <param name="connection">An open connection of the migrator's own, with foreign keys off: a script may rebuild a table that others name.</param>
    /// <returns>How many scripts ran.</returns>
    public int Migrate(SqliteConnection connection)
    {
        var ran = 0;
        while (RunNext(connection))
        {
            ran++;
        }

        return ran;
    }

    private bool RunNext(SqliteConnection connection)
    {
        using var transaction = connection.BeginTransaction(deferred: false);
        Execute(connection, transaction, """
            CREATE TABLE IF NOT EXISTS schema_version (
                version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT
            """);
        var pending = MigrationPlan.Pending(path, scripts, Applied(connection, transaction));
        if (pending.Count > 0)
        {
            Apply(connection, transaction, pending[0]);
        }

        transaction.Commit();
        return pending.Count > 0;
    }

    private void Apply(SqliteConnection connection, SqliteTransaction transaction, MigrationScript script)
    {
        Execute(connection, transaction, script.Sql);
        using var check = Command(connection, transaction, "SELECT count(*) FROM pragma_foreign_key_check");
        if (Convert.ToInt64(check.ExecuteScalar(), CultureInfo.InvariantCulture) != 0)
        {
            throw new DatabaseException($"Migration {script.Name} would leave rows in {path} that refer to missing ones. Restore a backup.");
        }

        using var insert = Command(connection, transaction, "INSERT INTO schema_version VALUES (@version, @name, @checksum, @at)");
        insert.Parameters.AddWithValue("@version", script.Version);
        insert.Parameters.AddWithValue("@name", script.Name);
        insert.Parameters.AddWithValue("@checksum", script.Checksum);
        insert.Parameters.AddWithValue("@at", time.GetUtcNow().ToUnixTimeMilliseconds());
        insert.ExecuteNonQuery();
    }

    private static List<AppliedMigration> Applied(SqliteConnection connection, SqliteTransaction transaction)
    {
        using var command = Command(connection, transaction, "SELECT version, name, checksum FROM schema_version ORDER BY version");
        using var reader = command.ExecuteReader();
        var applied = new List<AppliedMigration>();
        while (reader.Read())
        {
            applied.Add(new AppliedMigration(reader.GetInt32(0), reader.GetString(1), reader.GetString(2)));
        }

        return applied;
    }

    private static void Execute(SqliteConnection connection, SqliteTransaction transaction, string sql)
    {
        using var command = Command(connection, transaction, sql);
        command.ExecuteNonQuery();
    }

    private static SqliteCommand Command(SqliteConnection connection, SqliteTransaction transaction, string sql)
    {
        var command = connection.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = sql;
        return command;
    }
}
