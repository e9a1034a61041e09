namespace Flint.Security.Tests.Harness;

/// <summary>What of the host could be left behind, and is this test run's: other programs may run beside it.</summary>
/// <param name="Mounts">Of this process's namespace, below the code or made by a worker.</param>
/// <param name="Files">Names in the host's /tmp that are Flint's.</param>
/// <param name="Namespaces">Namespaces that this process holds open.</param>
/// <param name="Descriptors">Open ones of this process, which is the server here.</param>
internal sealed record HostState(int Mounts, IReadOnlySet<string> Files, IReadOnlySet<string> Namespaces, int Descriptors)
{
    public static HostState Take(string codeFolder)
    {
        GC.Collect();
        GC.WaitForPendingFinalizers();
        var open = Directory.GetFiles("/proc/self/fd").Select(Target).ToList();
        return new HostState(
            Leftovers.Mounts(codeFolder).Count,
            Directory.GetFileSystemEntries("/tmp", "flint-*").Where(path => !path.StartsWith(codeFolder, StringComparison.Ordinal) && IsOurs(path)).ToHashSet(),
            open.Where(static target => target.Contains(":[", StringComparison.Ordinal) && !target.StartsWith("socket:", StringComparison.Ordinal)
                && !target.StartsWith("pipe:", StringComparison.Ordinal)).ToHashSet(),
            open.Count);
    }

    /// <summary>Other test projects have folders there, too.</summary>
    private static bool IsOurs(string path) => path.Contains("security", StringComparison.Ordinal) || path.Contains("native", StringComparison.Ordinal);

    private static string Target(string link)
    {
        try
        {
            return File.ResolveLinkTarget(link, returnFinalTarget: false)?.Name ?? "";
        }
        catch (IOException)
        {
            return "";
        }
    }
}
