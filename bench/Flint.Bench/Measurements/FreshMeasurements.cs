using System.Globalization;
using Flint.Bench.Load;
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
        await FlintAsync("python", "Flint Python", cancellationToken);
        await FlintAsync("javascript", "Flint Node", cancellationToken);
        await DockerAsync(cancellationToken);
        await BareAsync("python -I -S -c", options.Python, ["-I", "-S", "-c"], PythonProgram, cancellationToken);
        await BareAsync("node -e", options.Node, ["-e"], NodeProgram, cancellationToken);
    }

    private Task FlintAsync(string runtime, string subject, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, subject, Bar.Fresh, async () =>
        {
            string name = $"fresh-{runtime}";
            await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken);
            await server.DeployAsync(options, name, runtime, "fresh", cancellationToken);
            HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.InvokePath(name), EventBytes));
            load.Run(new LoadBounds(1, TimeSpan.FromSeconds(10), options.Short ? 1 : 20), null, cancellationToken);
            Phases phases = new();
            LoadResult single = load.Run(new LoadBounds(1, TimeSpan.FromSeconds(60), SingleRequests), phases.Add, cancellationToken);
            phases.ThrowUnlessAllCold();
            LoadResult loaded = load.Run(new LoadBounds(Parallel, options.FreshDuration), null, cancellationToken);
            return Figures.Of(single, loaded, string.Create(CultureInfo.InvariantCulture,
                $"{phases.Describe()}; {Parallel} at a time p50 {loaded.Latencies.Percentile(0.5):0.0} p99 {loaded.Latencies.Percentile(0.99):0.0} ms"));
        });

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
