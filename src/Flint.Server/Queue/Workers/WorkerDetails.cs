using System.Globalization;
using System.Text.Json;
using Flint.Contracts.Workers;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Queue.Workers;

/// <summary>What a worker tells of itself and its host with each renewal. Thread-safe.</summary>
internal sealed class WorkerDetails(SandboxPools pools, EngineRegistry engines)
{
    public string Json() => JsonSerializer.Serialize(Now(), WorkerDetailsJson.Default.WorkerDetailsView);

    private WorkerDetailsView Now()
    {
        var statistics = pools.Statistics();
        return new WorkerDetailsView
        {
            Cores = Environment.ProcessorCount,
            Load = First("/proc/loadavg") is { } load && double.TryParse(load.AsSpan(0, Math.Max(0, load.IndexOf(' '))), CultureInfo.InvariantCulture, out var minute) ? minute : null,
            MemoryAvailableMb = AvailableMb(),
            UnderPressure = statistics.UnderPressure,
            SandboxesBusy = statistics.Creating + statistics.Busy,
            SandboxesIdle = statistics.Idle,
            Engines = [.. engines.Engines.Select(engine => new WorkerEngineView(engine.Name, engine.Unavailable is null, engine.Capabilities?.Runtimes ?? []))],
        };
    }

    private static long? AvailableMb()
    {
        const string Field = "MemAvailable:";
        var line = Lines("/proc/meminfo").FirstOrDefault(static line => line.StartsWith(Field, StringComparison.Ordinal));
        return line is not null && long.TryParse(line.AsSpan(Field.Length).Trim().TrimEnd(" kB"), CultureInfo.InvariantCulture, out var kb) ? kb / 1024 : null;
    }

    private static string? First(string path) => Lines(path).FirstOrDefault();

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
