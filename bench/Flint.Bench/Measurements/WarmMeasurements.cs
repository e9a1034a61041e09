using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Machine;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>A kept sandbox (128 MB, history and freezing on, an event of 1 KB), beside the same function without any sandbox.</summary>
internal sealed class WarmMeasurements(BenchOptions options, Report report)
{
    private const string Group = "warm";
    private const string Workerd = "workerd";
    private const string NodeHttp = "bare Node http server";
    private const string Relay = "Kestrel to Node over a unix socket";
    private const int Connections = 16;
    private const int EventBytes = 1024;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(5);

    private TimeSpan WarmUpTime => options.Short ? TimeSpan.FromMilliseconds(200) : WarmUp;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await FlintAsync("python", "Flint Python", cancellationToken);
        await FlintAsync("javascript", "Flint Node", cancellationToken);
        await WorkerdAsync(cancellationToken);
        await NodeHttpAsync(cancellationToken);
        await RelayAsync(cancellationToken);
        await EchoAsync(cancellationToken);
        foreach (string subject in (string[])["Flint Python", "Flint Node"])
        {
            report.Compare(Group, subject, Workerd, NodeHttp, Relay);
        }
    }

    private Task FlintAsync(string runtime, string subject, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, subject, Bar.Warm, async () =>
        {
            string name = $"warm-{runtime}";
            await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken);
            await server.DeployAsync(options, name, runtime, "warm", cancellationToken);
            HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.InvokePath(name), EventBytes));
            load.Run(new LoadBounds(1, TimeSpan.FromSeconds(10), 1), null, cancellationToken);
            Figures figures = Measure(load, server.Pid, cancellationToken);
            // After the rest, so that the server is as warm as it gets.
            Phases phases = new();
            HttpLoad timed = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.TimedPath(name), EventBytes));
            timed.Run(new LoadBounds(1, TimeSpan.FromSeconds(10), options.Short ? 10 : 500), phases.Add, cancellationToken);
            phases.ThrowUnlessAllWarm();
            return figures with { Note = $"{phases.Describe()}; {figures.Note}" };
        });

    private async Task WorkerdAsync(CancellationToken cancellationToken)
    {
        if (options.Workerd is null)
        {
            report.NotAvailable(Group, Workerd, options.WorkerdMissing);
            return;
        }
        await PeerAsync(Workerd, "/", echo: false, port =>
            ChildServer.Start(options.Workerd, ["serve", Peer("workerd/config.capnp"), $"--socket-addr=http=127.0.0.1:{Text(port)}"],
                options.Scratch, Log("workerd")), cancellationToken);
    }

    private Task NodeHttpAsync(CancellationToken cancellationToken) =>
        PeerAsync(NodeHttp, "/", echo: false, port =>
            ChildServer.Start(options.Node, [Peer("node-http.js"), Text(port)], options.Scratch, Log("node-http")), cancellationToken);

    private Task EchoAsync(CancellationToken cancellationToken) =>
        PeerAsync("bare Kestrel echo", "/", echo: true, port =>
            ChildServer.Start(options.Dotnet, [options.Peers, "echo", Url(port)], options.Scratch, Log("echo")), cancellationToken);

    private async Task RelayAsync(CancellationToken cancellationToken)
    {
        string socket = Path.Combine(options.Scratch, "relay.sock");
        await using ChildServer guest = ChildServer.Start(options.Node, [Peer("relay-guest.js"), socket], options.Scratch, Log("relay-guest"));
        await guest.WaitForFileAsync(socket, cancellationToken);
        await PeerAsync(Relay, "/", echo: false, port =>
            ChildServer.Start(options.Dotnet, [options.Peers, "relay", Url(port), socket], options.Scratch, Log("relay")), cancellationToken);
    }

    private Task PeerAsync(string subject, string path, bool echo, Func<int, ChildServer> start, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, subject, null, async () =>
        {
            int port = ChildServer.FreePort();
            await using ChildServer server = start(port);
            await ChildServer.WaitListeningAsync(port, cancellationToken);
            return Measure(new HttpLoad(port, HttpWorkload.Create(port, path, EventBytes, echo)), server.Pid, cancellationToken);
        });

    private Figures Measure(HttpLoad load, int server, CancellationToken cancellationToken)
    {
        load.Run(new LoadBounds(Connections, WarmUpTime), null, cancellationToken);
        load.Run(new LoadBounds(1, WarmUpTime / 2), null, cancellationToken);
        LoadResult single = load.Run(new LoadBounds(1, options.WarmDuration / 3), null, cancellationToken);
        ProcessCost before = ProcessCost.Read(server);
        LoadResult loaded = load.Run(new LoadBounds(Connections, options.WarmDuration), null, cancellationToken);
        string cost = ProcessCost.Read(server).Describe(before, loaded.Latencies.Count);
        return Figures.Of(single, loaded, string.Create(CultureInfo.InvariantCulture,
            $"{Connections} connections p50 {loaded.Latencies.Percentile(0.5):0.00} p95 {loaded.Latencies.Percentile(0.95):0.00} p99 {loaded.Latencies.Percentile(0.99):0.00} ms; {cost}"));
    }

    private string Peer(string file) => Path.Combine(options.Root, "bench", "peers", file);

    private string Log(string name) => Path.Combine(options.Scratch, name + ".log");

    private static string Text(int port) => port.ToString(CultureInfo.InvariantCulture);

    private static string Url(int port) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");
}
