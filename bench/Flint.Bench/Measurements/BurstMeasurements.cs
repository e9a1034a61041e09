using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>Many cold starts in one moment, on a server that has just started: it must degrade by queueing, so every one has to succeed.</summary>
internal sealed class BurstMeasurements(BenchOptions options, Report report)
{
    private const string Group = "burst";
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await FlintAsync("python", "Python", cancellationToken);
        await FlintAsync("javascript", "Node", cancellationToken);
    }

    private Task FlintAsync(string runtime, string subject, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, string.Create(CultureInfo.InvariantCulture, $"{options.BurstCount} cold starts at once, {subject}"), null, async () =>
        {
            string name = $"burst-{runtime}";
            await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken);
            await server.DeployAsync(options, name, runtime, "fresh", cancellationToken);
            HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.TimedPath(name), 1024));
            Phases phases = new();
            LoadResult burst = load.Run(new LoadBounds(options.BurstCount, Limit, options.BurstCount), phases.Add, cancellationToken);
            phases.ThrowUnlessAllCold();
            return Figures.Of(burst, phases.Describe());
        });
}
