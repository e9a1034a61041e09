using Flint.Bench.Reporting;

namespace Flint.Bench.Measurements;

/// <summary>All measurements in their order; a group whose server does not start is one failed row.</summary>
internal static class Groups
{
    public static async Task RunAsync(BenchOptions options, Report report, CancellationToken cancellationToken)
    {
        (string Name, Func<CancellationToken, Task> Run)[] groups =
        [
            ("server", new ServerMeasurements(options, report).RunAsync),
            ("memory", new MemoryMeasurements(options, report).RunAsync),
            ("fresh", new FreshMeasurements(options, report).RunAsync),
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
