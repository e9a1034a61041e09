using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Machine;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>A new sandbox for every invocation, beside a container for every job, and the bare interpreter that neither can beat without a fork.</summary>
internal sealed class FreshMeasurements(BenchOptions options, Report report)
{
    private const string Group = "fresh";
    /// <summary>Twice the cores of a small machine: enough to keep it busy, and what the promised number was written for.</summary>
    private const int Parallel = 4;
    private const int EventBytes = 1024;

    /// <summary>Both give no text of their own but the number that they were asked for.</summary>
    private const string PythonProgram = "print({0} * 7)";
    private const string NodeProgram = "console.log(String({0} * 7))";

    private int SingleRequests => options.Short ? 3 : 200;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await FlintAsync("python", "Flint Python", "fresh", Bar.Fresh, cancellationToken);
        await FlintAsync("javascript", "Flint Node", "fresh", Bar.Fresh, cancellationToken);
        await DockerAsync(cancellationToken);
        await BareAsync("python -I -S -c", options.Python, ["-I", "-S", "-c"], PythonProgram, cancellationToken);
        await BareAsync("node -e", options.Node, ["-e"], NodeProgram, cancellationToken);
        report.Compare(Group, "Flint Python", "docker run, Python", "python -I -S -c");
        report.Compare(Group, "Flint Node", "docker run, Node", "node -e");
    }

    /// <summary>The function's own initialised process, forked for every invocation: it is not started anew, so nothing is promised in its own right.</summary>
    public async Task RunSnapshotAsync(CancellationToken cancellationToken)
    {
        await FlintAsync("python", "Flint Python", "snapshot", null, cancellationToken);
        await FlintAsync("javascript", "Flint Node", "snapshot", null, cancellationToken);
    }

    private async Task FlintAsync(string runtime, string subject, string freshness, Bar? bar, CancellationToken cancellationToken)
    {
        string name = $"{freshness}-{runtime}";
        await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken);
        if (await server.TryDeployAsync(options, name, runtime, freshness, cancellationToken) is string refusal)
        {
            report.NotAvailable(freshness, subject, $"not built: {refusal}");
            return;
        }
        await report.MeasureAsync(freshness, subject, bar, () => Task.FromResult(Measure(server, name, freshness, cancellationToken)));
    }

    private Figures Measure(FlintServer server, string name, string freshness, CancellationToken cancellationToken)
    {
        HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.TimedPath(name), EventBytes));
        load.Run(new LoadBounds(1, TimeSpan.FromSeconds(10), options.Short ? 1 : 20), null, cancellationToken);
        Phases phases = new();
        LoadResult single = load.Run(new LoadBounds(1, TimeSpan.FromSeconds(60), SingleRequests), phases.Add, cancellationToken);
        if (freshness == "fresh")
        {
            phases.ThrowUnlessAllCold();
        }
        Phases busy = new();
        ProcessCost before = ProcessCost.Read(server.Pid);
        LoadResult loaded = load.Run(new LoadBounds(Parallel, options.FreshDuration), busy.Add, cancellationToken);
        string cost = ProcessCost.Read(server.Pid).Describe(before, loaded.Latencies.Count);
        return Figures.Of(single, loaded, string.Create(CultureInfo.InvariantCulture,
            $"one at a time {phases.Describe()}; {Parallel} at a time for {loaded.Elapsed.TotalSeconds:0} s p50 {loaded.Latencies.Percentile(0.5):0.0} "
            + $"p99 {loaded.Latencies.Percentile(0.99):0.0} max {loaded.Latencies.Percentile(1):0.0} ms, {busy.Describe()}; {cost}"));
    }

    private async Task DockerAsync(CancellationToken cancellationToken)
    {
        if (options.DockerHost is null)
        {
            report.NotAvailable(Group, "docker run, Python", options.DockerMissing);
            report.NotAvailable(Group, "docker run, Node", options.DockerMissing);
            return;
        }
        string[] run = ["--host", options.DockerHost, "run", "--rm", "--network", "none", "--read-only", options.DockerImage];
        await ProcessAsync("docker run, Python", "docker", [.. run, "python3.11", "-I", "-S", "-c"], PythonProgram, options.Short ? 1 : 20, cancellationToken);
        await ProcessAsync("docker run, Node", "docker", [.. run, "node", "-e"], NodeProgram, options.Short ? 1 : 20, cancellationToken);
    }

    private Task BareAsync(string subject, string file, string[] arguments, string program, CancellationToken cancellationToken) =>
        ProcessAsync(subject, file, arguments, program, SingleRequests, cancellationToken);

    private Task ProcessAsync(
        string subject, string file, string[] arguments, string program, int singles, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, subject, null, async () =>
        {
            ProcessLoad load = new(file,
                sequence => [.. arguments, string.Format(CultureInfo.InvariantCulture, program, sequence)],
                sequence => (sequence * 7).ToString(CultureInfo.InvariantCulture));
            LoadResult single = await load.RunAsync(new LoadBounds(1, TimeSpan.FromSeconds(60), singles), cancellationToken);
            TimeSpan duration = options.FreshDuration / 4;
            LoadResult loaded = await load.RunAsync(new LoadBounds(Parallel, duration), cancellationToken);
            return Figures.Of(single, loaded);
        });
}
