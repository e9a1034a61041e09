using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>All measurements in their order. Throws <see cref="BenchException"/> when Flint does not start at all.</summary>
internal static class Groups
{
    public static async Task RunAsync(BenchOptions options, Report report, CancellationToken cancellationToken)
    {
        // Throws at once what every row would otherwise wait for in vain.
        await using (await FlintServer.StartAsync(options, "preflight", cancellationToken))
        {
        }
        (string Name, Func<CancellationToken, Task> Run)[] groups =
        [
            ("server", new ServerMeasurements(options, report).RunAsync),
            ("memory", new MemoryMeasurements(options, report).RunAsync),
            ("fresh", new FreshMeasurements(options, report).RunAsync),
            ("snapshot", new FreshMeasurements(options, report).RunSnapshotAsync),
            ("burst", new BurstMeasurements(options, report).RunAsync),
            ("warm", new WarmMeasurements(options, report).RunAsync),
        ];
        foreach ((string name, Func<CancellationToken, Task> run) in groups)
        {
            if (options.Groups.Contains(name))
            {
                await run(cancellationToken);
            }
        }
    }
}
