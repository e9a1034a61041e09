using System.Diagnostics;
using System.Globalization;

namespace Flint.Bench.Machine;

/// <summary>Watches, during one measurement, what the rest of the machine took from it.</summary>
/// <param name="ownRoot">Process whose tree is ours; what all others use is foreign.</param>
internal sealed class Disturbance(int ownRoot)
{
    /// <summary>Foreign CPU time that still counts as quiet, in cores.</summary>
    public const double MaxForeignCores = 0.10;
    /// <summary>Time that the hypervisor gave to others, as a share of all.</summary>
    public const double MaxStealShare = 0.02;
    private const double TicksPerSecond = 100;

    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly long _foreign = ForeignTicks(ownRoot);
    private readonly long _steal = StealTicks();

    /// <summary>Null when the machine was quiet, else what was not.</summary>
    public string? Reason()
    {
        double seconds = Math.Max(0.1, Stopwatch.GetElapsedTime(_began).TotalSeconds);
        double foreignCores = (ForeignTicks(ownRoot) - _foreign) / TicksPerSecond / seconds;
        double steal = (StealTicks() - _steal) / TicksPerSecond / seconds / Environment.ProcessorCount;
        if (foreignCores > MaxForeignCores)
        {
            return string.Create(CultureInfo.InvariantCulture, $"other processes used {foreignCores:0.00} cores");
        }
        return steal > MaxStealShare ? string.Create(CultureInfo.InvariantCulture, $"steal {steal:0.0%}") : null;
    }

    public static double LoadAverage() =>
        double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture);

    /// <summary>What all processes have used, without ours: taken from the whole, so that processes which end between two looks count, too.</summary>
    private static long ForeignTicks(int ownRoot)
    {
        ProcessTable table = ProcessTable.Read();
        HashSet<int> own = table.Tree(ownRoot);
        own.UnionWith(table.Tree(2)); // the kernel's threads work for us, too
        long[] all = CpuTicks();
        return all[User] + all[Nice] + all[System] - own.Sum(table.TicksOf);
    }

    private static long StealTicks() => CpuTicks()[Steal];

    private const int User = 0;
    private const int Nice = 1;
    private const int System = 2;
    private const int Steal = 7;

    private static long[] CpuTicks() =>
        [.. File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(word => long.Parse(word, CultureInfo.InvariantCulture))];
}
