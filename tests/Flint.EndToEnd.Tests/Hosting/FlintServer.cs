using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>How to start a server; what is left out is as ./run has it.</summary>
internal sealed record ServerStart
{
    /// <summary>The program and its first arguments; the server's own follow.</summary>
    public required IReadOnlyList<string> Command { get; init; }
    public required string WorkingDirectory { get; init; }
    public required string DataPath { get; init; }
    public IReadOnlyList<string> Arguments { get; init; } = [];
    public IReadOnlyDictionary<string, string> Environment { get; init; } = new Dictionary<string, string>();

    public static ServerStart Of(Release release, string dataPath, params string[] arguments) => new()
    {
        Command = ["dotnet", Path.Combine(release.Directory, "Flint.Server.dll")],
        WorkingDirectory = dataPath,
        DataPath = dataPath,
        Arguments = arguments,
    };
}

/// <summary>A real server process on a loopback port of its own. Dispose ends it politely, then for good.</summary>
internal sealed class FlintServer : IAsyncDisposable
{
    private static readonly TimeSpan StartLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(40);
    private readonly Process _process;
    private readonly StringBuilder _output = new();

    private FlintServer(Process process, Uri address)
    {
        _process = process;
        Address = address;
        Api = new FlintApi(address);
        process.OutputDataReceived += Keep;
        process.ErrorDataReceived += Keep;
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public Uri Address { get; }
    public FlintApi Api { get; }
    public int ProcessId => _process.Id;

    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    public static Task<FlintServer> StartAsync(Release release, string dataPath, params string[] arguments) =>
        StartAsync(ServerStart.Of(release, dataPath, arguments));

    /// <summary>Starts a server and waits until it is ready.</summary>
    public static async Task<FlintServer> StartAsync(ServerStart start)
    {
        var server = Launch(start);
        try
        {
            await Eventually.GetAsync(server.ReadyAsync, StartLimit, "the server is not ready");
            return server;
        }
        catch (Exception failure)
        {
            await server.DisposeAsync();
            throw new InvalidOperationException($"{failure.Message}\n{server.Output}", failure);
        }
    }

    /// <summary>Ends it as <c>kill -9</c> does, with no word to anybody, and waits for it to be gone.</summary>
    public async Task KillAsync()
    {
        HostProcesses.Signal(_process.Id, 9);
        await _process.WaitForExitAsync();
    }

    /// <summary>SIGTERM, as an init system sends it. Answers the exit code.</summary>
    public async Task<int> StopAsync()
    {
        HostProcesses.Signal(_process.Id, 15);
        using var limit = new CancellationTokenSource(StopLimit);
        await _process.WaitForExitAsync(limit.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        Api.Dispose();
        try
        {
            if (!_process.HasExited)
            {
                await StopAsync();
            }
        }
        finally
        {
            if (!_process.HasExited)
            {
                _process.Kill(entireProcessTree: true);
            }

            _process.Dispose();
        }
    }

    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static FlintServer Launch(ServerStart start)
    {
        var address = new Uri($"http://127.0.0.1:{FreePort()}");
        string[] arguments = [.. start.Command.Skip(1), "--urls", address.ToString().TrimEnd('/'), "--Flint:DataPath", start.DataPath, .. start.Arguments];
        var info = new ProcessStartInfo(start.Command[0], arguments)
        {
            WorkingDirectory = start.WorkingDirectory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in start.Environment)
        {
            info.Environment[name] = value;
        }

        var process = Process.Start(info)!;
        process.StandardInput.Close();
        return new FlintServer(process, address);
    }

    private async Task<string?> ReadyAsync()
    {
        if (_process.HasExited)
        {
            throw new InvalidOperationException($"The server ended with exit code {_process.ExitCode}.");
        }

        try
        {
            using var answer = await Api.Http.GetAsync("/health/ready");
            return answer.IsSuccessStatusCode ? "ready" : null;
        }
        catch (HttpRequestException)
        {
            return null;
        }
    }

    private void Keep(object sender, DataReceivedEventArgs line)
    {
        lock (_output)
        {
            _output.AppendLine(line.Data);
        }
    }
}
