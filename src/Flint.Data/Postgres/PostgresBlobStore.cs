using Flint.Data.Blobs;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>Code packages in a table, so that every server reaches them. Read whole: a package is bounded by the upload's limit.</summary>
internal sealed class PostgresBlobStore(PostgresDatabase database) : IBlobStore
{
    public Task PutAsync(string tenantId, string sha256, ReadOnlyMemory<byte> content, CancellationToken cancellationToken) => RunAsync(
        "INSERT INTO code_blob_data (tenant_id, sha256, content) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        tenantId, sha256, command =>
        {
            command.Parameters.Add(new NpgsqlParameter<ReadOnlyMemory<byte>> { TypedValue = content });
            return command.ExecuteNonQueryAsync(cancellationToken);
        },
        cancellationToken);

    public Task<Stream?> OpenAsync(string tenantId, string sha256, CancellationToken cancellationToken) => RunAsync(
        "SELECT content FROM code_blob_data WHERE tenant_id = $1 AND sha256 = $2", tenantId, sha256,
        async command => await command.ExecuteScalarAsync(cancellationToken) is byte[] content ? (Stream)new MemoryStream(content, writable: false) : null,
        cancellationToken);

    public Task DeleteAsync(string tenantId, string sha256, CancellationToken cancellationToken) => RunAsync(
        "DELETE FROM code_blob_data WHERE tenant_id = $1 AND sha256 = $2", tenantId, sha256,
        command => command.ExecuteNonQueryAsync(cancellationToken), cancellationToken);

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
