using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Sqlite;

/// <summary>What a command has while it runs on the writer thread. It must not keep any of it.</summary>
internal sealed class SqliteWriteScope(SqliteConnection connection) : IDisposable
{
    private const string AddTotal = """
        INSERT INTO invocation_totals (tenant_id, data_bytes) VALUES (?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET data_bytes = data_bytes + excluded.data_bytes
        """;

    // By reference: texts are constants.
    private readonly Dictionary<string, SqliteStatement> _statements = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<string, long> _totals = new(StringComparer.Ordinal);

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

    /// <summary>Adds to what a tenant's history takes; written once for all commands that go together.</summary>
    public void AddToTotal(string tenantId, long bytes) => CollectionsMarshal.GetValueRefOrAddDefault(_totals, tenantId, out _) += bytes;

    /// <summary>Writes what was added since the last time.</summary>
    public void WriteTotals()
    {
        foreach (var (tenantId, bytes) in _totals)
        {
            if (bytes != 0)
            {
                var add = Statement(AddTotal);
                add.Bind(1, tenantId);
                add.Bind(2, bytes);
                add.Execute();
            }
        }

        _totals.Clear();
    }

    /// <summary>What was added is rolled back.</summary>
    public void ForgetTotals() => _totals.Clear();

    public void Dispose()
    {
        foreach (var statement in _statements.Values)
        {
            statement.Dispose();
        }

        Connection.Dispose();
    }
}
