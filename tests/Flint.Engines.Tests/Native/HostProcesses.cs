namespace Flint.Engines.Tests.Native;

/// <summary>What this test process has made on the host, as /proc and the cgroup file systems show it.</summary>
internal static class HostProcesses
{
    /// <summary>All living descendants of a process, by pid.</summary>
    public static IReadOnlyList<int> Under(int ancestor)
    {
        var parents = new Dictionary<int, int>();
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), out var pid) && Field(pid, "PPid:") is { } parent)
            {
                parents[pid] = int.Parse(parent, System.Globalization.CultureInfo.InvariantCulture);
            }
        }

        return [.. parents.Keys.Where(pid => IsUnder(pid, ancestor, parents))];
    }

    /// <summary>The host's pid of a process that knows itself by another in the launcher's namespace.</summary>
    public static int Find(int launcher, uint pidInside) => Under(launcher).Single(pid =>
        Field(pid, "NSpid:") is { } pids && pids.Split('\t') is [_, var inside] && inside == $"{pidInside}");

    public static string Instance(int launcher)
    {
        var arguments = File.ReadAllText($"/proc/{launcher}/cmdline").Split('\0');
        return arguments[Array.IndexOf(arguments, "--instance") + 1];
    }

    public static IReadOnlyList<string> Cgroups(string instance) => [.. new[] { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }
        .Where(Directory.Exists)
        .SelectMany(Directory.EnumerateDirectories)
        .Append("/sys/fs/cgroup")
        .Select(hierarchy => Path.Combine(hierarchy, "flint", instance))
        .Where(Directory.Exists)];

    /// <summary>The cells of an instance, in every hierarchy, by their cgroup directories.</summary>
    public static IReadOnlyList<string> Cells(string instance) =>
        [.. Cgroups(instance).SelectMany(Directory.EnumerateDirectories).SelectMany(Directory.EnumerateDirectories).Where(path => Path.GetFileName(path)[0] == 'c')];

    /// <summary>How many cells of an instance stand still, as the kernel says: in v2's freezer or v1's, whichever is used.</summary>
    public static int Frozen(string instance) => Cells(instance).Count(cell =>
        (Path.Combine(cell, "cgroup.events") is var events && File.Exists(events) && File.ReadAllText(events).Contains("frozen 1", StringComparison.Ordinal))
        || (Path.Combine(cell, "freezer.state") is var state && File.Exists(state) && File.ReadAllText(state).StartsWith("FROZEN", StringComparison.Ordinal)));

    /// <summary>Proportional set size of processes together, in MB; those that ended count nothing.</summary>
    public static double ProportionalMb(IEnumerable<int> pids) => pids.Sum(pid =>
    {
        try
        {
            var line = File.ReadLines($"/proc/{pid}/smaps_rollup").FirstOrDefault(static line => line.StartsWith("Pss:", StringComparison.Ordinal));
            return line is null ? 0 : double.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture) / 1024;
        }
        catch (IOException)
        {
            return 0;
        }
    });

    public static bool IsAlive(int pid) => Field(pid, "State:") is { } state && !state.StartsWith('Z') && !state.StartsWith('X');

    private static bool IsUnder(int pid, int ancestor, Dictionary<int, int> parents)
    {
        while (parents.TryGetValue(pid, out var parent))
        {
            if (parent == ancestor)
            {
                return true;
            }

            pid = parent;
        }

        return false;
    }

    private static string? Field(int pid, string name)
    {
        try
        {
            return File.ReadLines($"/proc/{pid}/status").FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?[name.Length..].Trim();
        }
        catch (IOException)
        {
            return null; // it has ended meanwhile
        }
    }
}
