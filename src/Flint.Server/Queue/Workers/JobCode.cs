using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Flint.Runtime.Loops;
using Flint.Server.Packages;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Jobs' sources, unpacked beside functions' code as <c>job-{tenant}-{hash}-{number}</c>; shared by equal jobs; kept, while there is room, for those that come again. What is used longest ago goes first, what
/// is in use never. The loop removes what was put out. Thread-safe.
/// </summary>
/// <remarks>
/// No name is used twice by one process, so nothing needs to be renamed: a directory is known to others only once it is complete, what is put out is removed where it lies, and what an earlier process left,
/// complete or not, goes at start. The code cache leaves what begins with <see cref="CodeCache.JobPrefix"/> alone.
/// </remarks>
internal sealed class JobCode : BackgroundLoop
{
    private const UnixFileMode DirectoryMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>What a file or a directory takes beside its content; the block size of common file systems.</summary>
    private const int BlockBytes = 4096;

    private readonly string _root;
    private readonly int _mostEntries;
    private readonly long _mostBytes;
    private readonly PackagesOptions _limits;
    private readonly Lock _lock = new();
    // Under the lock.
    private readonly Dictionary<(string Tenant, string Hash), Entry> _entries = [];
    /// <summary>Those that nobody uses, the longest unused first.</summary>
    private readonly LinkedList<Entry> _unused = new();
    private readonly Queue<string> _putOut = new();
    private long _bytes;
    private long _number;

    public JobCode(CodeCache cache, WorkerOptions options, PackagesOptions limits, TimeProvider time, ILogger<JobCode> log)
        : base("job-code", Timeout.InfiniteTimeSpan, time, log)
    {
        _root = cache.Root;
        _mostEntries = options.MaxJobCodes;
        _mostBytes = (long)options.MaxJobCodeMegabytes << 20;
        _limits = limits;
    }

    /// <summary>How many sources are unpacked, and how many bytes they take.</summary>
    public (int Entries, long Bytes) Kept
    {
        get
        {
            lock (_lock)
            {
                return (_entries.Count, _bytes);
            }
        }
    }

    /// <summary>Puts out what an earlier process left. Called once, after the code cache's start and before anything else.</summary>
    public void Clear()
    {
        var left = Directory.GetDirectories(_root, CodeCache.JobPrefix + "*");
        lock (_lock)
        {
            // Numbers go on from the highest that is there, so that what is still to be removed is in nobody's way.
            foreach (var directory in left)
            {
                _number = Math.Max(_number, long.TryParse(directory.AsSpan(directory.LastIndexOf('-') + 1), CultureInfo.InvariantCulture, out var number) ? number : 0);
                _putOut.Enqueue(directory);
            }
        }

        Wake();
    }

    /// <summary>The directory with the source's files. Throws <see cref="Services.RefusedException"/> for a zip that cannot be unpacked.</summary>
    public async ValueTask<JobCodeLease> RentAsync(string tenantId, string? fileName, ReadOnlyMemory<byte> source, CancellationToken cancellationToken)
    {
        var hash = Hash(fileName, source.Span);
        Entry entry;
        bool mine;
        lock (_lock)
        {
            mine = !_entries.TryGetValue((tenantId, hash), out entry!);
            if (mine)
            {
                var name = string.Create(CultureInfo.InvariantCulture, $"{CodeCache.JobPrefix}{tenantId}-{hash}-{++_number}");
                entry = _entries[(tenantId, hash)] = new Entry((tenantId, hash), Path.Combine(_root, name));
            }

            entry.Users++;
            if (entry.Place is { } place)
            {
                _unused.Remove(place);
                entry.Place = null;
            }
        }

        try
        {
            if (mine)
            {
                await MakeAsync(entry, fileName, source);
            }

            await entry.Ready.Task.WaitAsync(cancellationToken);
        }
        catch
        {
            GiveBack(entry);
            throw;
        }

        var given = 0;
        return new JobCodeLease(entry.Directory, hash, () =>
        {
            if (Interlocked.Exchange(ref given, 1) == 0)
            {
                GiveBack(entry);
            }
        });
    }

    /// <summary>Removes what was put out.</summary>
    public override Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var removed = 0;
        while (!cancellationToken.IsCancellationRequested && NextPutOut() is { } directory)
        {
            if (Directory.Exists(directory))
            {
                Directory.Delete(directory, recursive: true);
                removed++;
            }
        }

        return Task.FromResult(new LoopRun(removed));
    }

    /// <summary>Of kind, name and content: equal ones are equal directories.</summary>
    private static string Hash(string? fileName, ReadOnlySpan<byte> source)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(fileName is null ? "zip\0"u8 : Encoding.UTF8.GetBytes($"file\0{fileName}\0"));
        hash.AppendData(source);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(digest);
        return Convert.ToHexStringLower(digest);
    }

    /// <summary>By the first who wants it; the others wait. Not with his token: what he began is theirs too.</summary>
    private async Task MakeAsync(Entry entry, string? fileName, ReadOnlyMemory<byte> source)
    {
        var directory = entry.Directory;
        try
        {
            Directory.CreateDirectory(directory);
            if (fileName is not null)
            {
                WriteFile(Path.Combine(directory, fileName), source.Span);
                entry.Bytes = BlockBytes + Rounded(source.Length);
            }
            else
            {
                await PackageUnpacker.UnpackAsync(source, directory, _limits, CancellationToken.None);
                entry.Bytes = new DirectoryInfo(directory).EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
                    .Sum(static info => BlockBytes + (info is FileInfo { LinkTarget: null } file ? Rounded(file.Length) : 0));
            }

            File.SetUnixFileMode(directory, DirectoryMode);
            lock (_lock)
            {
                _bytes += entry.Bytes;
                EvictLocked();
            }

            entry.Ready.SetResult();
        }
        catch (Exception exception)
        {
            lock (_lock)
            {
                // Whoever comes later tries again; who waits learns why not.
                _entries.Remove(entry.Key);
                entry.Failed = true;
                _putOut.Enqueue(directory);
            }

            entry.Ready.SetException(exception);
            _ = entry.Ready.Task.Exception;
            Wake();
        }
    }

    private static void WriteFile(string path, ReadOnlySpan<byte> content)
    {
        using var file = File.OpenHandle(path, System.IO.FileMode.CreateNew, FileAccess.Write, FileShare.None, FileOptions.None);
        RandomAccess.Write(file, content, 0);
        // Whatever the umask.
        File.SetUnixFileMode(file, FileMode);
    }

    private static long Rounded(long bytes) => (bytes + BlockBytes - 1) / BlockBytes * BlockBytes;

    private void GiveBack(Entry entry)
    {
        lock (_lock)
        {
            if (--entry.Users > 0 || entry.Failed)
            {
                return;
            }

            entry.Place = _unused.AddLast(entry);
            EvictLocked();
        }
    }

    private void EvictLocked()
    {
        while ((_entries.Count > _mostEntries || _bytes > _mostBytes) && _unused.First is { Value: { } oldest } place)
        {
            _unused.Remove(place);
            _entries.Remove(oldest.Key);
            _bytes -= oldest.Bytes;
            _putOut.Enqueue(oldest.Directory);
            Wake();
        }
    }

    private string? NextPutOut()
    {
        lock (_lock)
        {
            return _putOut.TryDequeue(out var directory) ? directory : null;
        }
    }

    private sealed class Entry((string Tenant, string Hash) key, string directory)
    {
        public (string Tenant, string Hash) Key { get; } = key;
        public string Directory { get; } = directory;
        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        // Under the lock.
        public int Users { get; set; }
        public long Bytes { get; set; }
        public bool Failed { get; set; }
        public LinkedListNode<Entry>? Place { get; set; }
    }
}
