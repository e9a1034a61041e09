using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Machine;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>Start to ready, and the memory of a server that does nothing.</summary>
internal sealed class ServerMeasurements(BenchOptions options, Report report)
{
    private const string Group = "server";
    private const double Megabyte = 1024 * 1024;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await report.MeasureAsync(Group, "start to ready, new data directory", Bar.Ready, () => StartsAsync(fresh: true, cancellationToken));
        await report.MeasureAsync(Group, "start to ready, existing data directory", Bar.Ready, () => StartsAsync(fresh: false, cancellationToken));
        await report.MeasureAsync(Group, "idle memory", Bar.IdleServer, () => IdleAsync(cancellationToken));
    }

    private async Task<Figures> StartsAsync(bool fresh, CancellationToken cancellationToken)
    {
        int times = options.Short ? 1 : 5;
        Latencies latencies = new();
        for (int start = 0; start < times; start++)
        {
            string data = fresh ? string.Create(CultureInfo.InvariantCulture, $"start-{start}") : "start-0";
            await using FlintServer server = await FlintServer.StartAsync(options, data, cancellationToken);
            latencies.AddMilliseconds(server.ReadyAfter.TotalMilliseconds);
        }
        return new Figures { Count = times, Value = latencies.Percentile(0.5) / 1000, Unit = "s" };
    }

    private async Task<Figures> IdleAsync(CancellationToken cancellationToken)
    {
        await using FlintServer server = await FlintServer.StartAsync(options, "idle", cancellationToken);
        TimeSpan settle = TimeSpan.FromSeconds(options.Short ? 0.2 : 10);
        await Task.Delay(settle, TimeProvider.System, cancellationToken);
        HashSet<int> tree = ProcessTable.Read().Tree(server.Pid);
        double own = Memory.Pss([server.Pid]) / Megabyte;
        double all = Memory.Pss(tree) / Megabyte;
        return new Figures
        {
            Count = tree.Count,
            Value = all,
            Unit = "MB",
            Note = string.Create(CultureInfo.InvariantCulture,
                $"proportional set size of {tree.Count} processes, {own:0.0} MB of it the .NET process, the rest the launcher and its ready cells"),
        };
    }
}
