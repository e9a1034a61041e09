namespace Flint.Data.Blobs;

/// <summary>
/// Code packages as files: <c>blobs/&lt;tenant&gt;/&lt;first two digits&gt;/&lt;sha256&gt;</c> under the data path. A name appears only when its
/// bytes are on the disk, and is on the disk itself when a put returns.
/// </summary>
internal sealed class FileBlobStore(string dataPath, TimeProvider time) : IBlobStore
{
    // No put takes as long: what is older was left by a process that died.
    private static readonly TimeSpan Abandoned = TimeSpan.FromHours(1);

    private readonly string _root = Path.Combine(Path.GetFullPath(dataPath), "blobs");
    private int _swept;

    // Beside the tenants, whose names have no dot.
    private string Temporary => Path.Combine(_root, ".tmp");

    public async Task PutAsync(string tenantId, string sha256, ReadOnlyMemory<byte> content, CancellationToken cancellationToken)
    {
        var path = PathOf(tenantId, sha256);
        if (File.Exists(path))
        {
            // Whoever put it may not have come to this yet.
            DurableFile.SyncDirectory(Path.GetDirectoryName(path)!);
            return;
        }

        try
        {
            DataDirectory.Create(_root, "Flint:DataPath");
            DurableFile.SyncDirectory(Path.GetDirectoryName(_root)!);
            Directory.CreateDirectory(Temporary);
            SweepOnce();
            DurableFile.CreateDirectory(Path.Combine(_root, tenantId));
            DurableFile.CreateDirectory(Path.GetDirectoryName(path)!);
            await DurableFile.WriteAsync(path, Path.Combine(Temporary, $"{Guid.NewGuid():N}"), content, cancellationToken);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DatabaseException($"Code cannot be stored under {_root} (Flint:DataPath): {exception.Message}", exception);
        }
    }

    public Task<Stream?> OpenAsync(string tenantId, string sha256, CancellationToken cancellationToken)
    {
        try
        {
            return Task.FromResult<Stream?>(new FileStream(PathOf(tenantId, sha256), new FileStreamOptions
            {
                Mode = FileMode.Open,
                Access = FileAccess.Read,
                Share = FileShare.Read | FileShare.Delete,
                Options = FileOptions.Asynchronous,
            }));
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return Task.FromResult<Stream?>(null);
        }
    }

    public Task DeleteAsync(string tenantId, string sha256, CancellationToken cancellationToken)
    {
        try
        {
            File.Delete(PathOf(tenantId, sha256));
        }
        catch (DirectoryNotFoundException)
        {
            // Nothing of this tenant was ever put.
        }

        return Task.CompletedTask;
    }

    /// <summary>Removes what killed processes left behind.</summary>
    private void SweepOnce()
    {
        if (Interlocked.Exchange(ref _swept, 1) != 0)
        {
            return;
        }

        var limit = time.GetUtcNow() - Abandoned;
        foreach (var file in new DirectoryInfo(Temporary).EnumerateFiles().Where(file => file.LastWriteTimeUtc < limit))
        {
            file.Delete();
        }
    }

    private string PathOf(string tenantId, string sha256)
    {
        BlobName.Check(tenantId, sha256);
        return Path.Combine(_root, tenantId, sha256[..2], sha256);
    }
}
