using System.Globalization;

namespace Flint.Bench.Machine;

/// <summary>Proportional set sizes: a page that n processes share counts one n-th in each.</summary>
internal static class Memory
{
    /// <summary>Bytes of all of <paramref name="pids"/> together. Throws <see cref="BenchException"/> when one may not be read.</summary>
    public static long Pss(IEnumerable<int> pids)
    {
        long sum = 0;
        foreach (int pid in pids)
        {
            sum += Pss(pid);
        }
        return sum;
    }

    private static long Pss(int pid)
    {
        try
        {
            foreach (string line in File.ReadLines($"/proc/{pid}/smaps_rollup"))
            {
                if (line.StartsWith("Pss:", StringComparison.Ordinal))
                {
                    string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                    return long.Parse(words[1], CultureInfo.InvariantCulture) * 1024;
                }
            }
            return 0;
        }
        catch (UnauthorizedAccessException)
        {
            throw new BenchException($"the memory of process {pid} may not be read; measuring it needs root");
        }
        catch (IOException)
        {
            return 0; // it ended meanwhile, or has no memory of its own left
        }
    }
}
