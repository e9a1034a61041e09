using System.Security.Cryptography;
using System.Text;
using Flint.Runtime.Loops;
using Flint.Server.Packages;

namespace Flint.Server.Queue.Workers;

/// <summary>
/// Jobs' sources, unpacked beside functions' code as <c>job-{tenant}-{hash}</c>: written aside and renamed, so that a directory is complete when it is there; shared by equal jobs; kept, while there is room, for
/// those that come again. What is used longest ago goes first, what is in use never. The loop removes what was put out. Thread-safe.
/// </summary>
/// <remarks>The code cache leaves what begins with <see cref="CodeCache.JobPrefix"/> alone, and drops all of it at the first start after a boot, when a directory's name may have outlived its content.</remarks>
internal sealed class JobCode : BackgroundLoop
{
    private const UnixFileMode DirectoryMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    private const UnixFileMode FileMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    /// <summary>What a file or a directory takes beside its content; the block size of common file systems.</summary>
    private const int BlockBytes = 4096;

    private readonly string _root;
    private readonly string _scratch;
    private readonly int _mostEntries;
    private readonly long _mostBytes;
    private readonly PackagesOptions _limits;
    private readonly Lock _lock = new();
    // Under the lock.
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    /// <summary>Those that nobody uses, the longest unused first.</summary>
    private readonly LinkedList<Entry> _unused = new();
    private readonly Queue<string> _graves = new();
    private long _bytes;
    /// <summary>Names what lies aside.</summary>
    private long _sequence;

    public JobCode(CodeCache cache, WorkerOptions options, PackagesOptions limits, TimeProvider time, ILogger<JobCode> log)
        : base("job-code", Timeout.InfiniteTimeSpan, time, log)
    {
        _root = cache.Root;
        _scratch = cache.Scratch;
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
        foreach (var left in Directory.EnumerateDirectories(_root, CodeCache.JobPrefix + "*").ToArray())
        {
            lock (_lock)
            {
                BuryLocked(left);
            }
        }

        Wake();
    }

    /// <summary>The directory with the source's files. Throws <see cref="Services.RefusedException"/> for a zip that cannot be unpacked.</summary>
    public async ValueTask<JobCodeLease> RentAsync(string tenantId, string? fileName, ReadOnlyMemory<byte> source, CancellationToken cancellationToken)
    {
        var hash = Hash(fileName, source.Span);
        var directory = Path.Combine(_root, $"{CodeCache.JobPrefix}{tenantId}-{hash}");
        Entry entry;
        bool mine;
        lock (_lock)
        {
            mine = !_entries.TryGetValue(directory, out entry!);
            if (mine)
            {
                entry = _entries[directory] = new Entry(directory);
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
        return new JobCodeLease(directory, hash, () =>
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
        while (NextGrave() is { } grave)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Directory.Delete(grave, recursive: true);
            removed++;
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
        var scratch = Aside();
        try
        {
            Directory.CreateDirectory(scratch);
            if (fileName is not null)
            {
                WriteFile(Path.Combine(scratch, fileName), source.Span);
                entry.Bytes = BlockBytes + Rounded(source.Length);
            }
            else
            {
                await PackageUnpacker.UnpackAsync(source, scratch, _limits, CancellationToken.None);
                entry.Bytes = new DirectoryInfo(scratch).EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
                    .Sum(static info => BlockBytes + (info is FileInfo { LinkTarget: null } file ? Rounded(file.Length) : 0));
            }

            File.SetUnixFileMode(scratch, DirectoryMode);
            lock (_lock)
            {
                Directory.Move(scratch, entry.Directory);
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
                _entries.Remove(entry.Directory);
                entry.Failed = true;
                if (Directory.Exists(scratch))
                {
                    _graves.Enqueue(scratch);
                }
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
            _entries.Remove(oldest.Directory);
            _bytes -= oldest.Bytes;
            BuryLocked(oldest.Directory);
            Wake();
        }
    }

    /// <summary>Takes the name away, which an equal job may want in the next moment.</summary>
    private void BuryLocked(string directory)
    {
        var grave = Aside();
        Directory.Move(directory, grave);
        _graves.Enqueue(grave);
    }

    private string Aside() => Path.Combine(_scratch, $"job-{Interlocked.Increment(ref _sequence)}");

    private string? NextGrave()
    {
        lock (_lock)
        {
            return _graves.TryDequeue(out var grave) ? grave : null;
        }
    }

    private sealed class Entry(string directory)
    {
        public string Directory { get; } = directory;
        public TaskCompletionSource Ready { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        // Under the lock.
        public int Users { get; set; }
        public long Bytes { get; set; }
        public bool Failed { get; set; }
        public LinkedListNode<Entry>? Place { get; set; }
    }
}
