using System.Globalization;

namespace Flint.Bench.Machine;

/// <summary>What a server and all below it had used of the processors at one moment: what can be compared when the clock cannot, on a machine with other work.</summary>
internal sealed record ProcessCost
{
    private const double MicrosecondsPerTick = 10_000;

    private double ServerMicroseconds { get; init; }
    private double BelowMicroseconds { get; init; }
    private long ServerSwitches { get; init; }
    private long BelowSwitches { get; init; }

    public static ProcessCost Read(int server)
    {
        ProcessTable table = ProcessTable.Read();
        HashSet<int> tree = table.Tree(server);
        tree.Remove(server);
        return new ProcessCost
        {
            ServerMicroseconds = table.TicksOf(server) * MicrosecondsPerTick,
            BelowMicroseconds = tree.Sum(table.TicksOf) * MicrosecondsPerTick,
            ServerSwitches = Switches(server),
            BelowSwitches = tree.Sum(Switches),
        };
    }

    /// <summary>Per request between then and now.</summary>
    public string Describe(ProcessCost before, int requests) => string.Create(CultureInfo.InvariantCulture,
        $"per request {(ServerMicroseconds - before.ServerMicroseconds) / requests:0} us of processor and "
        + $"{(double)(ServerSwitches - before.ServerSwitches) / requests:0.0} context switches in the server, "
        + $"{(BelowMicroseconds - before.BelowMicroseconds) / requests:0} us and {(double)(BelowSwitches - before.BelowSwitches) / requests:0.0} below it");

    private static long Switches(int pid)
    {
        try
        {
            return Directory.EnumerateDirectories($"/proc/{pid}/task").Sum(task => SwitchesOf(Path.Combine(task, "status")));
        }
        catch (IOException)
        {
            return 0; // it ended meanwhile
        }
    }

    private static long SwitchesOf(string status)
    {
        try
        {
            return File.ReadLines(status)
                .Where(line => line.Contains("ctxt_switches:", StringComparison.Ordinal))
                .Sum(line => long.Parse(line.AsSpan(line.IndexOf(':', StringComparison.Ordinal) + 1), CultureInfo.InvariantCulture));
        }
        catch (IOException)
        {
            return 0;
        }
    }
}
