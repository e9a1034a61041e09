using Microsoft.Data.Sqlite;

namespace Flint.Data.Sqlite;

/// <summary>What a command has while it runs on the writer thread. It must not keep any of it.</summary>
internal sealed class SqliteWriteScope(SqliteConnection connection) : IDisposable
{
    private readonly Dictionary<string, SqliteStatement> _statements = new(StringComparer.Ordinal);

    public SqliteConnection Connection { get; } = connection;

    /// <summary>The transaction of the batch that is running.</summary>
    public SqliteTransaction? Transaction { get; set; }

    /// <summary>The statement for <paramref name="sql"/>, a constant text, prepared once.</summary>
    public SqliteStatement Statement(string sql)
    {
        if (!_statements.TryGetValue(sql, out var statement))
        {
            statement = new SqliteStatement(Connection.Handle!, sql);
            _statements.Add(sql, statement);
        }

        return statement;
    }

    public void Dispose()
    {
        foreach (var statement in _statements.Values)
        {
            statement.Dispose();
        }

        Connection.Dispose();
    }
}
