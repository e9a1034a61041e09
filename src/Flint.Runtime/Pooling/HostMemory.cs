using System.Globalization;

namespace Flint.Runtime.Pooling;

/// <summary>The host's memory in MB. Where it cannot be known (no /proc/meminfo), nothing counts as pressure.</summary>
/// <param name="Total">What this process may use: the host's memory or the container's limit, whichever is less.</param>
/// <param name="Available">MemAvailable of the host, or null.</param>
internal readonly record struct HostMemory(long Total, long? Available)
{
    private const long Mb = 1024 * 1024;

    public static HostMemory Read()
    {
        var limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / Mb;
        try
        {
            return Parse(File.ReadAllText("/proc/meminfo"), limit);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new HostMemory(limit, null);
        }
    }

    /// <summary>Pure, for tests: the text of /proc/meminfo and the process's own limit in MB.</summary>
    public static HostMemory Parse(string meminfo, long limitMb)
    {
        var total = Field(meminfo, "MemTotal:");
        return new HostMemory(total is { } known ? Math.Min(known, limitMb) : limitMb, Field(meminfo, "MemAvailable:"));
    }

    private static long? Field(string meminfo, string name)
    {
        foreach (var line in meminfo.AsSpan().EnumerateLines())
        {
            if (line.StartsWith(name, StringComparison.Ordinal))
            {
                var digits = line[name.Length..].Trim();
                var end = digits.IndexOf(' ');
                return long.TryParse(end < 0 ? digits : digits[..end], NumberStyles.None, CultureInfo.InvariantCulture, out var kb) ? kb / 1024 : null;
            }
        }
        return null;
    }
}
