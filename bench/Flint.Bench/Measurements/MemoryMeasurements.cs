using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Machine;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>What an idle warm sandbox costs after it has worked: the proportional set size of all in it, its PID 1 included.</summary>
internal sealed class MemoryMeasurements(BenchOptions options, Report report)
{
    private const string Group = "memory";
    private const double Megabyte = 1024 * 1024;
    private const int InvocationsEach = 100;
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(2);

    private int Sandboxes => options.Short ? 2 : 8;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await report.MeasureAsync(Group, "idle warm sandbox, Python", Bar.IdlePython, () => MeasureAsync("python", cancellationToken));
        await report.MeasureAsync(Group, "idle warm sandbox, Node", Bar.IdleNode, () => MeasureAsync("javascript", cancellationToken));
    }

    private async Task<Figures> MeasureAsync(string runtime, CancellationToken cancellationToken)
    {
        string name = $"memory-{runtime}";
        await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken);
        await server.DeployAsync(options, name, runtime, "warm", cancellationToken);
        await Task.Delay(Settle, TimeProvider.System, cancellationToken);
        (int processes, double guests, double own) before = Read(server.Pid);
        await server.InvokeTogetherAsync(name, Sandboxes, options.Short ? 500 : 2000, cancellationToken);
        HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.InvokePath(name), 1024));
        load.Run(new LoadBounds(Sandboxes, TimeSpan.FromSeconds(60), Sandboxes * InvocationsEach), null, cancellationToken);
        await Task.Delay(Settle, TimeProvider.System, cancellationToken);
        (int processes, double guests, double own) after = Read(server.Pid);
        return new Figures
        {
            Count = Sandboxes,
            Value = (after.guests - before.guests) / Sandboxes,
            Unit = "MB",
            Note = string.Create(CultureInfo.InvariantCulture,
                $"{Sandboxes} sandboxes, {InvocationsEach} invocations each; {after.processes - before.processes} processes more (the cells that are made ahead among them), the server itself {after.own - before.own:0.0} MB more"),
        };
    }

    private static (int Processes, double Guests, double Own) Read(int server)
    {
        HashSet<int> tree = ProcessTable.Read().Tree(server);
        tree.Remove(server);
        return (tree.Count, Memory.Pss(tree) / Megabyte, Memory.Pss([server]) / Megabyte);
    }
}
