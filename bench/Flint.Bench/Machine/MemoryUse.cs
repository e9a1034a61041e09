using System.Globalization;

namespace Flint.Bench.Machine;

/// <summary>What a server, what is below it, and the kernel use at one moment, in megabytes.</summary>
internal sealed record MemoryUse
{
    private const double Megabyte = 1024 * 1024;
    private const double KilobytesPerMegabyte = 1024;

    /// <summary>Each counted by /proc/meminfo for the whole machine: they grow by what is between two looks, if nothing else runs.</summary>
    private static readonly string[] KernelFields = ["PageTables", "Slab", "KernelStack", "Percpu"];

    private int Processes { get; init; }
    private double GuestsMb { get; init; }
    private double ServerMb { get; init; }
    private IReadOnlyDictionary<string, double> KernelMb { get; init; } = new Dictionary<string, double>();

    public static MemoryUse Read(int server)
    {
        HashSet<int> tree = ProcessTable.Read().Tree(server);
        tree.Remove(server);
        Dictionary<string, double> kernel = [];
        foreach (string line in File.ReadLines("/proc/meminfo"))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (Array.IndexOf(KernelFields, words[0].TrimEnd(':')) >= 0)
            {
                kernel[words[0].TrimEnd(':')] = double.Parse(words[1], CultureInfo.InvariantCulture) / KilobytesPerMegabyte;
            }
        }
        return new MemoryUse
        {
            Processes = tree.Count,
            GuestsMb = Memory.Pss(tree) / Megabyte,
            ServerMb = Memory.Pss([server]) / Megabyte,
            KernelMb = kernel,
        };
    }

    public double AllMb(MemoryUse before) => GuestsMb - before.GuestsMb + ServerMb - before.ServerMb + Kernel(before);

    public string Describe(MemoryUse before, int sandboxes) => string.Create(CultureInfo.InvariantCulture,
        $"of it {(GuestsMb - before.GuestsMb) / sandboxes:0.00} MB proportional set size, {(ServerMb - before.ServerMb) / sandboxes:0.00} MB the server's, "
        + $"{Kernel(before) / sandboxes:0.00} MB the kernel's ({string.Join(", ", KernelMb.Select(field => Part(field.Key, field.Value - before.KernelMb[field.Key], sandboxes)))}); "
        + $"{Processes - before.Processes} processes more; beside them the launcher, zygotes and ready cells: {before.Processes} processes with {before.GuestsMb:0.0} MB before the first sandbox");

    private double Kernel(MemoryUse before) => KernelMb.Sum(field => field.Value - before.KernelMb[field.Key]);

    private static string Part(string name, double megabytes, int sandboxes) => string.Create(CultureInfo.InvariantCulture, $"{name} {megabytes / sandboxes:0.00}");
}
