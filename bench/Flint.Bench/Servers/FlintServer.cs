using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace Flint.Bench.Servers;

/// <summary>A Flint of this run, with its defaults, on a free port of the loopback interface.</summary>
internal sealed class FlintServer : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan PollPause = TimeSpan.FromMilliseconds(2);
    private readonly ChildServer _process;
    private readonly HttpClient _client;

    private FlintServer(ChildServer process, int port, TimeSpan readyAfter)
    {
        _process = process;
        _client = new HttpClient { BaseAddress = new Uri(string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}")) };
        Port = port;
        ReadyAfter = readyAfter;
    }

    public int Port { get; }
    public int Pid => _process.Pid;
    /// <summary>From starting the process to the first 200 of /health/ready.</summary>
    public TimeSpan ReadyAfter { get; }

    /// <summary>Starts and waits until it is ready. Throws <see cref="BenchException"/> when that does not come.</summary>
    public static async Task<FlintServer> StartAsync(
        BenchOptions options, string dataName, CancellationToken cancellationToken, params string[] settings)
    {
        int port = ChildServer.FreePort();
        string data = Path.Combine(options.Scratch, dataName);
        string log = Path.Combine(options.Scratch, dataName + ".log");
        Directory.CreateDirectory(data);
        string url = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");
        long began = Stopwatch.GetTimestamp();
        ChildServer process = ChildServer.Start(options.Dotnet, [options.Server, "--urls", url, "--Flint:DataPath", data, .. settings], options.Scratch, log);
        try
        {
            await WaitReadyAsync(process, log, url, began, cancellationToken);
            return new FlintServer(process, port, Stopwatch.GetElapsedTime(began));
        }
        catch
        {
            await process.DisposeAsync();
            throw;
        }
    }

    /// <summary>Creates a function from one of bench/functions. Throws <see cref="BenchException"/> when it is refused.</summary>
    public async Task DeployAsync(BenchOptions options, string name, string runtime, string freshness, CancellationToken cancellationToken)
    {
        if (await TryDeployAsync(options, name, runtime, freshness, cancellationToken) is string refusal)
        {
            throw new BenchException($"{name} was not created: {refusal}");
        }
    }

    /// <summary>Null when the function was created, else what the server says against it.</summary>
    public async Task<string?> TryDeployAsync(
        BenchOptions options, string name, string runtime, string freshness, CancellationToken cancellationToken)
    {
        bool python = runtime == "python";
        string source = Path.Combine(options.Root, "bench", "functions", python ? "main.py" : "index.js");
        JsonObject body = new()
        {
            ["name"] = name,
            ["runtime"] = runtime,
            ["handler"] = python ? "main.handler" : "index.handler",
            ["code"] = new JsonObject { ["inline"] = await File.ReadAllTextAsync(source, cancellationToken) },
            ["memoryMb"] = 128,
            ["timeoutMs"] = 10_000,
            ["freshness"] = freshness,
        };
        using HttpResponseMessage response = await _client.PostAsJsonAsync("/api/functions", body, cancellationToken);
        return response.IsSuccessStatusCode ? null : await response.Content.ReadAsStringAsync(cancellationToken);
    }

    public static string InvokePath(string name) => $"/api/functions/{name}/invoke";

    /// <summary>The answer tells the phases, too.</summary>
    public static string TimedPath(string name) => InvokePath(name) + "?timings=true";

    /// <summary>Invokes once for each of <paramref name="count"/> at the same time, so that as many sandboxes stand afterwards.</summary>
    public async Task InvokeTogetherAsync(string name, int count, int waitMs, CancellationToken cancellationToken)
    {
        Task<HttpResponseMessage>[] calls = new Task<HttpResponseMessage>[count];
        for (int index = 0; index < count; index++)
        {
            JsonObject body = new() { ["n"] = index, ["pad"] = "x", ["waitMs"] = waitMs };
            calls[index] = _client.PostAsJsonAsync(InvokePath(name), body, cancellationToken);
        }
        foreach (HttpResponseMessage response in await Task.WhenAll(calls))
        {
            using (response)
            {
                string text = await response.Content.ReadAsStringAsync(cancellationToken);
                if (response.StatusCode != HttpStatusCode.OK || !text.Contains("COMPLETED", StringComparison.Ordinal))
                {
                    throw new BenchException($"{name} failed: {text}");
                }
            }
        }
    }

    private static async Task WaitReadyAsync(ChildServer process, string log, string url, long began, CancellationToken cancellationToken)
    {
        using HttpClient client = new() { Timeout = TimeSpan.FromSeconds(5) };
        string last = "no answer";
        while (Stopwatch.GetElapsedTime(began) < StartLimit)
        {
            process.CheckAlive(log);
            try
            {
                using HttpResponseMessage response = await client.GetAsync(url + "/health/ready", cancellationToken);
                if (response.StatusCode == HttpStatusCode.OK)
                {
                    return;
                }
                last = await response.Content.ReadAsStringAsync(cancellationToken);
            }
            catch (HttpRequestException)
            {
                // it does not listen yet
            }
            await Task.Delay(PollPause, TimeProvider.System, cancellationToken);
        }
        throw new BenchException($"not ready after {StartLimit.TotalSeconds} s: {last}");
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _process.DisposeAsync();
    }
}
