using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Flint.Bench.Machine;

/// <summary>Where and when the numbers were measured; without it they mean nothing.</summary>
internal sealed record MachineFacts
{
    public required DateTimeOffset Date { get; init; }
    public required string Commit { get; init; }
    public required int Cores { get; init; }
    public required string Processor { get; init; }
    public required string Kernel { get; init; }
    public required string User { get; init; }
    /// <summary>The one-minute load average before the run began.</summary>
    public required double LoadBefore { get; init; }
    public required IReadOnlyDictionary<string, string> Versions { get; init; }

    public static async Task<MachineFacts> ReadAsync(BenchOptions options, CancellationToken cancellationToken)
    {
        double load = Disturbance.LoadAverage();
        Dictionary<string, string> versions = new()
        {
            ["dotnet"] = RuntimeInformation.FrameworkDescription,
            ["python"] = await FirstLineAsync(options.Python, ["--version"], cancellationToken),
            ["node"] = await FirstLineAsync(options.Node, ["--version"], cancellationToken),
            ["docker"] = options.DockerHost is null
                ? "none"
                : await FirstLineAsync("docker", ["version", "--format", "{{.Server.Version}}"], cancellationToken),
        };
        string commit = await FirstLineAsync("git", ["-C", options.Root, "describe", "--always", "--dirty", "--exclude", "*"], cancellationToken);
        return new MachineFacts
        {
            Date = TimeProvider.System.GetUtcNow(),
            Commit = commit,
            Cores = Environment.ProcessorCount,
            Processor = ProcessorName(),
            Kernel = (await File.ReadAllTextAsync("/proc/sys/kernel/osrelease", cancellationToken)).Trim(),
            User = Environment.IsPrivilegedProcess ? "root" : "ordinary user",
            LoadBefore = load,
            Versions = versions,
        };
    }

    private static string ProcessorName() =>
        File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal)) is string line
            ? line[(line.IndexOf(':', StringComparison.Ordinal) + 2)..]
            : RuntimeInformation.ProcessArchitecture.ToString();

    private static async Task<string> FirstLineAsync(string file, IReadOnlyList<string> arguments, CancellationToken cancellationToken)
    {
        try
        {
            ProcessStartInfo start = new(file, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process? process = Process.Start(start);
            if (process is null)
            {
                return "none";
            }
            string output = await process.StandardOutput.ReadToEndAsync(cancellationToken);
            await process.WaitForExitAsync(cancellationToken);
            string first = output.Split('\n')[0].Trim();
            return first.Length > 0 ? first : "none";
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "none";
        }
    }
}
