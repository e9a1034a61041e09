using Flint.Data.Blobs;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>Code packages in a table, so that every server reaches them. Read whole: a package is bounded by the upload's limit.</summary>
internal sealed class PostgresBlobStore(PostgresDatabase database) : IBlobStore
{
    /// <summary>Putting and deleting one blob exclude each other over all servers, until each has committed.</summary>
    private const string Lock = "SELECT pg_advisory_xact_lock(hashtextextended($1 || '/' || $2, 7))";

    public Task PutAsync(string tenantId, string sha256, ReadOnlyMemory<byte> content, CancellationToken cancellationToken) => RunLockedAsync(
        "INSERT INTO code_blob_data (tenant_id, sha256, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        tenantId, sha256, cancellationToken, new NpgsqlParameter<ReadOnlyMemory<byte>> { TypedValue = content });

    public Task<Stream?> OpenAsync(string tenantId, string sha256, CancellationToken cancellationToken) => RunAsync(
        "SELECT content FROM code_blob_data WHERE tenant_id = $1 AND sha256 = $2", tenantId, sha256,
        async command => await command.ExecuteScalarAsync(cancellationToken) is byte[] content ? (Stream)new MemoryStream(content, writable: false) : null,
        cancellationToken);

    /// <summary>Leaves what a row of the catalog names: then another server stored it again since the caller removed the row.</summary>
    public Task DeleteAsync(string tenantId, string sha256, CancellationToken cancellationToken) => RunLockedAsync(
        """
        DELETE FROM code_blob_data WHERE tenant_id = $1 AND sha256 = $2
            AND NOT EXISTS (SELECT 1 FROM code_blobs b WHERE b.tenant_id = $1 AND b.sha256 = $2)
        """,
        tenantId, sha256, cancellationToken);

    /// <summary>The lock by a statement of its own: the one after it must see what was committed while it waited.</summary>
    private Task RunLockedAsync(string sql, string tenantId, string sha256, CancellationToken cancellationToken, params NpgsqlParameter[] more)
    {
        BlobName.Check(tenantId, sha256);
        return database.RunAsync(
            async connection =>
            {
                await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
                await ExecuteAsync(Lock, []);
                await ExecuteAsync(sql, more);
                await transaction.CommitAsync(cancellationToken);
                return true;

                async Task ExecuteAsync(string text, NpgsqlParameter[] extra)
                {
                    await using var command = new NpgsqlCommand(text, connection, transaction);
                    command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = tenantId });
                    command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = sha256 });
                    command.Parameters.AddRange(extra.Select(parameter => parameter.Clone()).ToArray());
                    await command.ExecuteNonQueryAsync(cancellationToken);
                }
            },
            cancellationToken);
    }

    private Task<T> RunAsync<T>(
        string sql, string tenantId, string sha256, Func<NpgsqlCommand, Task<T>> run, CancellationToken cancellationToken)
    {
        BlobName.Check(tenantId, sha256);
        return database.RunAsync(
            async connection =>
            {
                await using var command = new NpgsqlCommand(sql, connection);
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = tenantId });
                command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = sha256 });
                return await run(command);
            },
            cancellationToken);
    }
}
