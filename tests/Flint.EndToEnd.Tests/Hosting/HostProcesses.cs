using System.Globalization;
using System.Runtime.InteropServices;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>A process by number and start time, so that a number used again is not taken for it.</summary>
internal sealed record HostProcess(int Id, string StartTime, string CommandLine);

/// <summary>Looks at the host's processes and cgroups as an operator would, through /proc and /sys.</summary>
internal static partial class HostProcesses
{
    public static IReadOnlyList<HostProcess> Descendants(int ancestor)
    {
        var children = All().ToLookup(static entry => entry.Parent, static entry => entry.Process);
        var found = new List<HostProcess>();
        var queue = new Queue<int>([ancestor]);
        while (queue.TryDequeue(out var parent))
        {
            foreach (var child in children[parent])
            {
                found.Add(child);
                queue.Enqueue(child.Id);
            }
        }

        return found;
    }

    public static bool IsAlive(HostProcess process) => All().Any(entry =>
        entry.Process.Id == process.Id && entry.Process.StartTime == process.StartTime);

    /// <summary>Flint's cgroup directories below <paramref name="name"/> at the top of every hierarchy: the workers' and all inside.</summary>
    public static IReadOnlyList<string> Cgroups(string name = "flint")
    {
        var roots = File.ReadLines("/proc/self/mounts")
            .Select(static line => line.Split(' '))
            .Where(static fields => fields[2] is "cgroup" or "cgroup2")
            .Select(fields => Path.Combine(fields[1], name));
        return [.. roots.Where(Directory.Exists).SelectMany(static root =>
            Directory.EnumerateDirectories(root, "*", SearchOption.AllDirectories))];
    }

    public static void Signal(int process, int signal)
    {
        if (Kill(process, signal) != 0)
        {
            throw new InvalidOperationException($"kill({process}, {signal}): errno {Marshal.GetLastPInvokeError()}");
        }
    }

    private static IEnumerable<(int Parent, HostProcess Process)> All()
    {
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), CultureInfo.InvariantCulture, out var id) && Read(id) is { } entry)
            {
                yield return entry;
            }
        }
    }

    // Null for a process that ends meanwhile, and for a zombie, which holds nothing any more.
    private static (int Parent, HostProcess Process)? Read(int id)
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{id}/stat");
            // The name, in parentheses, may hold anything; the fields after it are plain.
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            if (fields[0] is "Z" or "X")
            {
                return null;
            }

            var commandLine = File.ReadAllText($"/proc/{id}/cmdline").Replace('\0', ' ').Trim();
            return (int.Parse(fields[1], CultureInfo.InvariantCulture), new HostProcess(id, fields[19], commandLine));
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int process, int signal);
}
