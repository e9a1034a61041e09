namespace Flint.Security.Tests.Harness;

/// <summary>What of a worker's sandboxes is on the host: processes by their uids, cgroups by their tenants.</summary>
internal sealed class Leftovers(long uidBase, int uidCount)
{
    /// <summary>Processes that run under one of the worker's uids, as pid and command: the guests, the trusted PID 1 of each, and the launcher's own.</summary>
    public IReadOnlyList<string> Processes()
    {
        var found = new List<string>();
        foreach (var directory in Directory.EnumerateDirectories("/proc").Where(static path => char.IsAsciiDigit(path[6])))
        {
            try
            {
                var status = File.ReadAllLines($"{directory}/status");
                var uid = long.Parse(status.First(static line => line.StartsWith("Uid:", StringComparison.Ordinal)).Split('\t')[1],
                    System.Globalization.CultureInfo.InvariantCulture);
                if (uid >= uidBase && uid < uidBase + uidCount && !IsZygote(directory, uid))
                {
                    found.Add($"{directory[6..]} {status[0]}");
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // It ended while it was looked at.
            }
        }

        return found;
    }

    /// <summary>The interpreters that guests are forked from belong to the worker, and are started again whenever it likes. A guest of theirs has another uid.</summary>
    private bool IsZygote(string directory, long uid) =>
        uid == uidBase && File.ReadAllText($"{directory}/cmdline").Contains("zygote", StringComparison.Ordinal);

    /// <summary>Every process of the worker's, the launcher's own two and its zygotes too.</summary>
    public IReadOnlyList<string> All() => [.. OfLauncher().Select(static pid => $"{pid} launcher"), .. Processes()];

    /// <summary>Open descriptors of the launcher's own processes.</summary>
    public int LauncherDescriptors() => OfLauncher().Sum(static pid => Directory.GetFiles($"/proc/{pid}/fd").Length);

    /// <summary>Those that were started with this worker's range of uids on their command line, and are not PID 1 of a cell.</summary>
    private List<string> OfLauncher() => [.. Launchers().Select(static launcher => launcher.Pid)];

    private List<(string Pid, string Instance)> Launchers()
    {
        var found = new List<(string Pid, string Instance)>();
        foreach (var directory in Directory.EnumerateDirectories("/proc").Where(static path => char.IsAsciiDigit(path[6])))
        {
            try
            {
                var command = File.ReadAllText($"{directory}/cmdline");
                if (command.Contains($"--uid-base\0{uidBase}\0", StringComparison.Ordinal) && !IsCell(directory))
                {
                    var arguments = command.Split('\0');
                    found.Add((directory[6..], arguments[Array.IndexOf(arguments, "--instance") + 1]));
                }
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                // It ended while it was looked at.
            }
        }

        return found;
    }

    // The cells' first processes are one pid namespace deeper than the event loop, which is one deeper than the host.
    private static bool IsCell(string directory) =>
        File.ReadLines($"{directory}/status").First(static line => line.StartsWith("NSpid:", StringComparison.Ordinal)).Split('\t').Length > 3;

    /// <summary>Cgroups of all of these tenants' sandboxes.</summary>
    public IReadOnlyList<string> CgroupsOfAll(IEnumerable<string> tenants) => [.. tenants.SelectMany(Cgroups)];

    /// <summary>Cgroups of a tenant's sandboxes, in any hierarchy. Other workers, which run beside this one, have tenants of the same names.</summary>
    public IReadOnlyList<string> Cgroups(string tenant)
    {
        var instances = Launchers().Select(static launcher => launcher.Instance).ToHashSet(StringComparer.Ordinal);
        return [.. CgroupRoots().SelectMany(root => instances.Select(instance => Path.Combine(root, instance, tenant))).SelectMany(Children)];
    }

    /// <summary>Whether the kernel says that all of a tenant's sandboxes, one at least, stand still.</summary>
    public bool Frozen(string tenant)
    {
        var states = Cgroups(tenant).SelectMany(static cgroup => (string[])[$"{cgroup}/cgroup.events", $"{cgroup}/freezer.state"]).Where(File.Exists).Select(File.ReadAllText).ToList();
        // On a hybrid host both freezers are there and one is used.
        return states.Any(static state => state.Contains("frozen 1", StringComparison.Ordinal) || state.StartsWith("FROZEN", StringComparison.Ordinal));
    }

    /// <summary>Mounts of this process's namespace that show a function's code.</summary>
    public static IReadOnlyList<string> Mounts(string codeFolder) =>
        [.. File.ReadAllLines("/proc/self/mountinfo").Where(line => line.Contains(codeFolder, StringComparison.Ordinal))];

    // They come and go while they are looked at.
    private static IReadOnlyList<string> Children(string directory)
    {
        try
        {
            return Directory.GetDirectories(directory);
        }
        catch (DirectoryNotFoundException)
        {
            return [];
        }
    }

    private static IEnumerable<string> CgroupRoots() =>
        Directory.EnumerateDirectories("/sys/fs/cgroup").Append("/sys/fs/cgroup").Select(static root => Path.Combine(root, "flint")).Where(Directory.Exists);
}
