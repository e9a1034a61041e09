using System.Globalization;

namespace Flint.Server.Queue.Workers;

/// <summary>How hard the host is pressed, at one moment.</summary>
/// <param name="BelowFloor">The available memory is below the runtime's floor (Flint:Sandbox:MemoryFloorMb).</param>
/// <param name="MemoryStall">Per cent of the last ten seconds in which something waited for memory (the kernel's pressure stall information); null where the kernel does not tell.</param>
/// <param name="CpuStall">The same for CPU.</param>
internal readonly record struct HostReading(bool BelowFloor, double? MemoryStall, double? CpuStall)
{
    public static HostReading Read(bool belowFloor) => new(belowFloor, Stall("/proc/pressure/memory"), Stall("/proc/pressure/cpu"));

    /// <summary>The first line's <c>avg10</c> of a file such as /proc/pressure/cpu: <c>some avg10=12.34 avg60=...</c>. Null when it is not that.</summary>
    public static double? Parse(string text)
    {
        const string Before = "some avg10=";
        if (!text.StartsWith(Before, StringComparison.Ordinal))
        {
            return null;
        }

        var number = text.AsSpan(Before.Length);
        var end = number.IndexOf(' ');
        return double.TryParse(end < 0 ? number : number[..end], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value) ? value : null;
    }

    private static double? Stall(string path)
    {
        try
        {
            return Parse(File.ReadAllText(path));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A kernel without it, or one that was told to leave it out.
            return null;
        }
    }
}
