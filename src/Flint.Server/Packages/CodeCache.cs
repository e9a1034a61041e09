using System.Security.Cryptography;
using Flint.Data.Blobs;

namespace Flint.Server.Packages;

/// <summary>
/// Unpacked code on this server's disk: <c>DataPath/code/{tenant}-{sha256}</c>, complete when it is there, never changed. Made from
/// the stored zip when it is first wanted, by one caller at a time per package. Thread-safe.
/// </summary>
internal sealed partial class CodeCache
{
    /// <summary>What begins so is not the cache's own: jobs' code, which JobCode keeps and removes.</summary>
    public const string JobPrefix = "job-";

    private readonly string _root;
    private readonly string _scratch;
    private readonly IBlobStore _blobs;
    private readonly PackagesOptions _limits;
    private readonly TimeProvider _time;
    private readonly ILogger<CodeCache> _log;

    /// <summary>Guards <see cref="_entries"/>, and the moment in which a directory is taken away.</summary>
    private readonly Lock _gate = new();
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);

    public CodeCache(string dataPath, IBlobStore blobs, PackagesOptions limits, TimeProvider time, ILogger<CodeCache> log)
    {
        _root = Path.Combine(Path.GetFullPath(dataPath), "code");
        _scratch = Path.Combine(_root, ".tmp");
        _blobs = blobs;
        _limits = limits;
        _time = time;
        _log = log;
    }

    /// <summary>The folder whose children are packages.</summary>
    public string Root => _root;

    private sealed class Entry(Task ready, DateTimeOffset used)
    {
        public Task Ready { get; } = ready;
        public DateTimeOffset Used { get; set; } = used;
    }

    /// <summary>
    /// Makes the directories, and drops what an earlier boot of this machine left: a power cut may have kept a directory's name and lost
    /// its files' content. Called once, before anything else.
    /// </summary>
    public void Start()
    {
        var boot = File.Exists("/proc/sys/kernel/random/boot_id") ? File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim() : "unknown";
        var mark = Path.Combine(_root, ".boot");
        if (Directory.Exists(_root) && (!File.Exists(mark) || File.ReadAllText(mark).Trim() != boot))
        {
            Directory.Delete(_root, recursive: true);
        }

        MakeReadable(_root);
        if (Directory.Exists(_scratch))
        {
            Directory.Delete(_scratch, recursive: true);
        }

        MakeReadable(_scratch);
        File.WriteAllText(mark, boot);
    }

    /// <summary>The directory with the package's files. Throws <see cref="CodeMissingException"/> when the store has no such package.</summary>
    public async Task<string> EnsureAsync(string tenantId, string sha256, CancellationToken cancellationToken)
    {
        var directory = Path.Combine(_root, $"{tenantId}-{sha256}");
        Entry entry;
        lock (_gate)
        {
            if (!_entries.TryGetValue(directory, out entry!) || entry.Ready.IsFaulted || entry.Ready.IsCanceled)
            {
                // Not this caller's token: others wait for the same work.
                var ready = Directory.Exists(directory)
                    ? Task.CompletedTask
                    : Task.Run(() => UnpackAsync(tenantId, sha256, directory, CancellationToken.None), CancellationToken.None);
                entry = new Entry(ready, _time.GetUtcNow());
                _entries[directory] = entry;
            }

            entry.Used = _time.GetUtcNow();
        }

        await entry.Ready.WaitAsync(cancellationToken).ConfigureAwait(false);
        return directory;
    }

    /// <summary>Removes what is not in <paramref name="inUse"/> and was not asked for within the configured age. Returns how many were removed.</summary>
    public int RemoveUnused(IReadOnlySet<string> inUse, CancellationToken cancellationToken)
    {
        var oldest = _time.GetUtcNow() - TimeSpan.FromMinutes(_limits.UnusedCodeMinutes);
        var removed = 0;
        foreach (var directory in Directory.EnumerateDirectories(_root).Where(IsPackage).ToArray())
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TakeAway(directory, oldest, inUse.Contains(directory)) is { } grave)
            {
                Directory.Delete(grave, recursive: true);
                removed++;
            }
        }

        return removed;
    }

    private static bool IsPackage(string path) =>
        Path.GetFileName(path.AsSpan()) is var name && name[0] != '.' && !name.StartsWith(JobPrefix, StringComparison.Ordinal);

    private string? TakeAway(string directory, DateTimeOffset oldest, bool inUse)
    {
        lock (_gate)
        {
            if (!_entries.TryGetValue(directory, out var entry))
            {
                // Left by an earlier process, and not asked for yet: its age counts from now.
                _entries[directory] = new Entry(Task.CompletedTask, _time.GetUtcNow());
                return null;
            }

            if (inUse)
            {
                // Its age counts from the last time that it was needed: a request that holds an old spec finds its code for that long.
                entry.Used = _time.GetUtcNow();
            }

            if (entry.Used > oldest || !entry.Ready.IsCompleted)
            {
                return null;
            }

            var grave = Path.Combine(_scratch, Guid.NewGuid().ToString("n"));
            Directory.Move(directory, grave);
            _entries.Remove(directory);
            return grave;
        }
    }

    private async Task UnpackAsync(string tenantId, string sha256, string directory, CancellationToken cancellationToken)
    {
        var zip = await ReadAsync(tenantId, sha256, cancellationToken).ConfigureAwait(false);
        if (!Convert.ToHexStringLower(SHA256.HashData(zip)).Equals(sha256, StringComparison.Ordinal))
        {
            throw new CodeMissingException($"The stored code {sha256} is damaged: its checksum differs.");
        }

        var scratch = Path.Combine(_scratch, Guid.NewGuid().ToString("n"));
        Directory.CreateDirectory(scratch);
        try
        {
            // Limits that were lowered since the upload do not take deployed functions away.
            await PackageUnpacker.UnpackAsync(zip, scratch, Unbounded, cancellationToken).ConfigureAwait(false);
            Directory.Move(scratch, directory);
        }
        catch
        {
            Directory.Delete(scratch, recursive: true);
            throw;
        }

        LogUnpacked(sha256);
    }

    private async Task<byte[]> ReadAsync(string tenantId, string sha256, CancellationToken cancellationToken)
    {
        await using var stream = await _blobs.OpenAsync(tenantId, sha256, cancellationToken).ConfigureAwait(false)
            ?? throw new CodeMissingException($"The store has no code {sha256}.");
        using var memory = new MemoryStream();
        await stream.CopyToAsync(memory, cancellationToken).ConfigureAwait(false);
        return memory.ToArray();
    }

    private static PackagesOptions Unbounded { get; } = new()
    {
        MaxZipBytes = int.MaxValue,
        MaxUnzippedBytes = long.MaxValue,
        MaxCompressionRatio = int.MaxValue,
        MaxNameBytes = 4000,
        MaxDepth = 256,
    };

    /// <summary>Sandboxes run as other users: they must be able to walk down to the code, and nothing else of the data is below.</summary>
    private static void MakeReadable(string directory)
    {
        Directory.CreateDirectory(directory);
        File.SetUnixFileMode(directory, (UnixFileMode)Convert.ToInt32("755", 8));
    }

    [LoggerMessage(2100, LogLevel.Debug, "Unpacked code {Sha256}")]
    private partial void LogUnpacked(string sha256);
}

/// <summary>The platform's fault: code that a function names cannot be had.</summary>
internal sealed class CodeMissingException(string message) : Exception(message);
