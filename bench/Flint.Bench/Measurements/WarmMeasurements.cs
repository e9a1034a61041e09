using System.Globalization;
using Flint.Bench.Load;
using Flint.Bench.Reporting;
using Flint.Bench.Servers;

namespace Flint.Bench.Measurements;

/// <summary>A kept sandbox (128 MB, history and freezing on, an event of 1 KB), beside the same function without any sandbox.</summary>
internal sealed class WarmMeasurements(BenchOptions options, Report report)
{
    private const string Group = "warm";
    private const int Connections = 16;
    private const int EventBytes = 1024;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(5);

    private TimeSpan WarmUpTime => options.Short ? TimeSpan.FromMilliseconds(200) : WarmUp;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await FlintAsync("python", "Flint Python", cancellationToken);
        await FlintAsync("javascript", "Flint Node", cancellationToken);
        await NodeHttpAsync(cancellationToken);
        await RelayAsync(cancellationToken);
        await EchoAsync(cancellationToken);
    }

    private Task FlintAsync(string runtime, string subject, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, subject, Bar.Warm, async () =>
        {
            string name = $"warm-{runtime}";
            await using FlintServer server = await FlintServer.StartAsync(options, name, cancellationToken);
            await server.DeployAsync(options, name, runtime, "warm", cancellationToken);
            HttpLoad load = new(server.Port, HttpWorkload.Create(server.Port, FlintServer.InvokePath(name), EventBytes));
            load.Run(new LoadBounds(1, TimeSpan.FromSeconds(10), 1), null, cancellationToken);
            Phases phases = new();
            load.Run(new LoadBounds(1, TimeSpan.FromSeconds(10), options.Short ? 10 : 500), phases.Add, cancellationToken);
            phases.ThrowUnlessAllWarm();
            (LoadResult single, LoadResult loaded) = Measure(load, cancellationToken);
            return Figures.Of(single, loaded, $"{phases.Describe()}; {Loaded(loaded)}");
        });

    private Task NodeHttpAsync(CancellationToken cancellationToken) =>
        PeerAsync("bare Node http server", "/", echo: false, port =>
            ChildServer.Start(options.Node, [Peer("node-http.js"), Text(port)], options.Scratch, Log("node-http")), cancellationToken);

    private Task EchoAsync(CancellationToken cancellationToken) =>
        PeerAsync("bare Kestrel echo", "/", echo: true, port =>
            ChildServer.Start(options.Dotnet, [options.Peers, "echo", Url(port)], options.Scratch, Log("echo")), cancellationToken);

    private async Task RelayAsync(CancellationToken cancellationToken)
    {
        string socket = Path.Combine(options.Scratch, "relay.sock");
        await using ChildServer guest = ChildServer.Start(options.Node, [Peer("relay-guest.js"), socket], options.Scratch, Log("relay-guest"));
        await guest.WaitForFileAsync(socket, cancellationToken);
        await PeerAsync("Kestrel to Node over a unix socket", "/", echo: false, port =>
            ChildServer.Start(options.Dotnet, [options.Peers, "relay", Url(port), socket], options.Scratch, Log("relay")), cancellationToken);
    }

    private Task PeerAsync(string subject, string path, bool echo, Func<int, ChildServer> start, CancellationToken cancellationToken) =>
        report.MeasureAsync(Group, subject, null, async () =>
        {
            int port = ChildServer.FreePort();
            await using ChildServer server = start(port);
            await ChildServer.WaitListeningAsync(port, cancellationToken);
            (LoadResult single, LoadResult loaded) = Measure(new HttpLoad(port, HttpWorkload.Create(port, path, EventBytes, echo)), cancellationToken);
            return Figures.Of(single, loaded, Loaded(loaded));
        });

    private (LoadResult Single, LoadResult Loaded) Measure(HttpLoad load, CancellationToken cancellationToken)
    {
        load.Run(new LoadBounds(Connections, WarmUpTime), null, cancellationToken);
        load.Run(new LoadBounds(1, WarmUpTime / 2), null, cancellationToken);
        LoadResult single = load.Run(new LoadBounds(1, options.WarmDuration / 3), null, cancellationToken);
        LoadResult loaded = load.Run(new LoadBounds(Connections, options.WarmDuration), null, cancellationToken);
        return (single, loaded);
    }

    private static string Loaded(LoadResult loaded) => string.Create(CultureInfo.InvariantCulture,
        $"{Connections} connections p50 {loaded.Latencies.Percentile(0.5):0.00} p99 {loaded.Latencies.Percentile(0.99):0.00} ms");

    private string Peer(string file) => Path.Combine(options.Root, "bench", "peers", file);

    private string Log(string name) => Path.Combine(options.Scratch, name + ".log");

    private static string Text(int port) => port.ToString(CultureInfo.InvariantCulture);

    private static string Url(int port) => string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");
}
