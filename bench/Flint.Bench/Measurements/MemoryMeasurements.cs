using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Machine;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>
/// What an idle warm sandbox costs after it has worked: everything that the machine has less of, divided by the sandboxes. That is the proportional
/// set size of all in it, its PID 1 included, the server's own growth (its .NET objects), and the kernel's (page tables, sockets, pipes, cgroups, stacks).
/// </summary>
internal sealed class MemoryMeasurements(BenchOptions options, Report report)
{
    private const string Group = "memory";
    private const int PerFunction = 10;
    private const int InvocationsEach = 100;
    private static readonly TimeSpan Settle = TimeSpan.FromSeconds(2);

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await report.MeasureAsync(Group, "idle warm sandbox, Python", Bar.IdlePython, () => MeasureAsync("python", cancellationToken));
        await report.MeasureAsync(Group, "idle warm sandbox, Node", Bar.IdleNode, () => MeasureAsync("javascript", cancellationToken));
    }

    private async Task<Figures> MeasureAsync(string runtime, CancellationToken cancellationToken)
    {
        string name = $"memory-{runtime}";
        int functions = Math.Max(1, options.MemoryCount / PerFunction);
        int sandboxes = functions * PerFunction;
        // Limits that are about other hosts' sizes are lifted, and nothing may expire while the others are made.
        await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken,
            "--Flint:Sandbox:MaxSandboxes", Text(sandboxes + 10), "--Flint:Sandbox:MemoryBudgetMb", Text((sandboxes + 10) * 128),
            "--Flint:Sandbox:IdleLifetimeMs", "3600000");
        await Task.Delay(Settle, TimeProvider.System, cancellationToken);
        MemoryUse before = MemoryUse.Read(server.Pid);
        for (int index = 0; index < functions; index++)
        {
            string function = string.Create(CultureInfo.InvariantCulture, $"{name}-{index}");
            await server.DeployAsync(options, function, runtime, "warm", cancellationToken);
            // Each of the ten waits long enough that none is used twice.
            await server.InvokeTogetherAsync(function, PerFunction, options.Short ? 500 : 1500, cancellationToken);
            HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.InvokePath(function), 1024));
            load.Run(new LoadBounds(PerFunction, TimeSpan.FromSeconds(60), PerFunction * InvocationsEach), null, cancellationToken);
        }
        await Task.Delay(Settle, TimeProvider.System, cancellationToken);
        MemoryUse after = MemoryUse.Read(server.Pid);
        return new Figures
        {
            Count = sandboxes,
            Value = after.AllMb(before) / sandboxes,
            Unit = "MB",
            Note = string.Create(CultureInfo.InvariantCulture,
                $"{sandboxes} sandboxes of {functions} functions at once, {InvocationsEach} invocations each; {after.Describe(before, sandboxes)}"),
        };
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
