namespace Flint.Data.Blobs;

/// <summary>Code packages by tenant and content (lower-case hex SHA-256). Immutable once put. Thread-safe, durable when a put returns.</summary>
public interface IBlobStore
{
    /// <summary>Stores the bytes; storing what is there already is a cheap success.</summary>
    Task PutAsync(string tenantId, string sha256, ReadOnlyMemory<byte> content, CancellationToken cancellationToken);

    /// <summary>Opens the bytes, or null when there are none.</summary>
    Task<Stream?> OpenAsync(string tenantId, string sha256, CancellationToken cancellationToken);

    /// <summary>
    /// Removes the bytes; removing what is not there succeeds. On PostgreSQL, which several servers share, bytes that the catalog has a row for
    /// stay: remove the row first, and put the row before the bytes.
    /// </summary>
    Task DeleteAsync(string tenantId, string sha256, CancellationToken cancellationToken);
}
