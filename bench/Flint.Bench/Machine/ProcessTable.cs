using System.Globalization;

namespace Flint.Bench.Machine;

/// <summary>What /proc says of every process at one moment.</summary>
internal sealed class ProcessTable
{
    private readonly Dictionary<int, Entry> _entries = [];
    private readonly ILookup<int, int> _children;

    private ProcessTable(IEnumerable<Entry> entries)
    {
        foreach (Entry entry in entries)
        {
            _entries[entry.Pid] = entry;
        }
        _children = _entries.Values.ToLookup(entry => entry.Parent, entry => entry.Pid);
    }

    /// <param name="Ticks">CPU time of the process and of its children that ended and were waited for, in clock ticks of 10 ms.</param>
    internal readonly record struct Entry(int Pid, int Parent, string Name, long Ticks);

    public static ProcessTable Read()
    {
        List<Entry> entries = [];
        foreach (string directory in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(directory), CultureInfo.InvariantCulture, out int pid) && ReadEntry(pid) is Entry entry)
            {
                entries.Add(entry);
            }
        }
        return new ProcessTable(entries);
    }

    public IEnumerable<Entry> All => _entries.Values;

    /// <summary>Clock ticks of 10 ms; 0 for a process that is not there.</summary>
    public long TicksOf(int pid) => _entries.TryGetValue(pid, out Entry entry) ? entry.Ticks : 0;

    public string? NameOf(int pid) => _entries.TryGetValue(pid, out Entry entry) ? entry.Name : null;

    /// <summary>The process and all below it.</summary>
    public HashSet<int> Tree(int root)
    {
        HashSet<int> found = [root];
        Queue<int> open = new(found);
        while (open.TryDequeue(out int pid))
        {
            foreach (int child in _children[pid])
            {
                if (found.Add(child))
                {
                    open.Enqueue(child);
                }
            }
        }
        return found;
    }

    private static Entry? ReadEntry(int pid)
    {
        string text;
        try
        {
            text = File.ReadAllText($"/proc/{pid}/stat");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null; // it ended meanwhile
        }
        int open = text.IndexOf('(', StringComparison.Ordinal);
        int close = text.LastIndexOf(')');
        string[] rest = text[(close + 2)..].Split(' ');
        long ticks = 0;
        for (int field = 11; field <= 14; field++)
        {
            ticks += long.Parse(rest[field], CultureInfo.InvariantCulture);
        }
        return new Entry(pid, int.Parse(rest[1], CultureInfo.InvariantCulture), text[(open + 1)..close], ticks);
    }
}
