using System.Runtime.InteropServices;

namespace Flint.Engines.Tests.Native;

/// <summary>System calls of the tests: descriptors of this process, made and counted, and SIGKILL.</summary>
internal static unsafe partial class Descriptors
{
    private const int CloseOnExec = 0x80000;

    /// <summary>What comes with READY on a host that offers nothing else: sockets, whose other ends are closed.</summary>
    public static List<int> Streams()
    {
        int* pair = stackalloc int[2];
        List<int> descriptors = [];
        for (var i = 0; i < 3; i++)
        {
            socketpair(1, 1 | CloseOnExec, 0, pair).ShouldBe(0);
            descriptors.Add(pair[0]);
            _ = close(pair[1]);
        }

        return descriptors;
    }

    /// <summary>How many pipes, sockets and the like are open; files are the runtime's own.</summary>
    public static string Open() => string.Join(", ", Directory.EnumerateFileSystemEntries("/proc/self/fd")
        .Select(static link => new FileInfo(link).LinkTarget ?? "/")
        .Where(static target => !target.StartsWith('/'))
        .GroupBy(static target => target.Split(':')[0])
        .OrderBy(static group => group.Key, StringComparer.Ordinal)
        .Select(static group => $"{group.Count()} {group.Key}"));

    public static void Kill(int pid) => kill(pid, 9).ShouldBe(0);

    public static void Stop(int pid) => kill(pid, 19).ShouldBe(0);

    public static void Continue(int pid) => kill(pid, 18).ShouldBe(0);

    [LibraryImport("libc")]
    private static partial int kill(int pid, int signal);

    [LibraryImport("libc")]
    private static partial int socketpair(int family, int type, int protocol, int* pair);

    [LibraryImport("libc")]
    private static partial int close(int descriptor);
}
