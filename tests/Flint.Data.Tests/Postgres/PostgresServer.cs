using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Npgsql;

namespace Flint.Data.Tests.Postgres;

/// <summary>
/// A PostgreSQL of the tests' own, from the installed package, with fsync on: a cluster in a temporary directory, on a free port of loopback,
/// run by an unprivileged user. Stopped by its pid.
/// </summary>
internal sealed class PostgresServer : IAsyncDisposable
{
    private readonly string _bin;
    private readonly string _directory;
    private readonly int _port;
    private Process? _process;

    private PostgresServer(string bin, string directory, int port)
    {
        _bin = bin;
        _directory = directory;
        _port = port;
    }

    /// <summary>The newest installed version's programs, or null.</summary>
    public static string? FindBin() => Directory.Exists("/usr/lib/postgresql")
        ? Directory.GetDirectories("/usr/lib/postgresql").Select(version => Path.Combine(version, "bin"))
            .Where(bin => File.Exists(Path.Combine(bin, "initdb"))).Order(StringComparer.Ordinal).LastOrDefault()
        : null;

    public static async Task<PostgresServer> StartNewAsync(string bin)
    {
        var directory = Directory.CreateTempSubdirectory("flint-pg-").FullName;
        if (IsRoot)
        {
            await RunAsync("chown", ["postgres", directory]);
        }

        var server = new PostgresServer(bin, directory, FreePort());
        await RunAsync(AsUser(), server.UserArguments(
            "initdb", "--pgdata", server.Data, "--username", "flint", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions"));
        await server.StartAsync();
        return server;
    }

    /// <summary>The string for a database of this server; a null name means the maintenance one.</summary>
    public string ConnectionString(string? database = null) =>
        $"Host=127.0.0.1;Port={_port};Username=flint;Database={database ?? "postgres"};Timeout=15;Maximum Pool Size=20";

    /// <summary>Creates an empty database with a name of its own.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var name = "t" + Guid.NewGuid().ToString("N");
        await using var connection = new NpgsqlConnection(ConnectionString() + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand($"CREATE DATABASE {name}", connection);
        await command.ExecuteNonQueryAsync();
        return ConnectionString(name);
    }

    public bool IsRunning => _process is { HasExited: false };

    public async Task StartAsync()
    {
        var start = new ProcessStartInfo(AsUser(), UserArguments(
            "postgres", "-D", Data, "-p", $"{_port}", "-c", "listen_addresses=127.0.0.1", "-c", $"unix_socket_directories={_directory}",
            "-c", "fsync=on", "-c", "max_connections=200", "-c", "logging_collector=off"))
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        _process = Process.Start(start)!;
        _process.ErrorDataReceived += static (_, _) => { };
        _process.OutputDataReceived += static (_, _) => { };
        _process.BeginErrorReadLine();
        _process.BeginOutputReadLine();
        await WaitUntilReadyAsync();
    }

    /// <summary>Kills it as a crash would: no connection is ended in order.</summary>
    public async Task KillAsync() => await EndAsync("-QUIT");

    public async ValueTask DisposeAsync()
    {
        await EndAsync("-INT");
        Directory.Delete(_directory, recursive: true);
    }

    private static bool IsRoot => Environment.UserName == "root";

    private string Data => Path.Combine(_directory, "data");

    private async Task EndAsync(string signal)
    {
        if (_process is { } process)
        {
            await RunAsync("kill", [signal, $"{process.Id}"]);
            await process.WaitForExitAsync();
            process.Dispose();
            _process = null;
        }
    }

    private async Task WaitUntilReadyAsync()
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        while (true)
        {
            try
            {
                await using var connection = new NpgsqlConnection(ConnectionString() + ";Pooling=false");
                await connection.OpenAsync(limit.Token);
                return;
            }
            catch (NpgsqlException) when (!_process!.HasExited)
            {
                await Task.Delay(50, limit.Token);
            }
        }
    }

    /// <summary>PostgreSQL refuses to run as root.</summary>
    private static string AsUser() => IsRoot ? "setpriv" : "env";

    private string[] UserArguments(string program, params string[] arguments) =>
        [.. IsRoot ? ["--reuid=postgres", "--regid=postgres", "--clear-groups"] : Array.Empty<string>(), Path.Combine(_bin, program), .. arguments];

    private static async Task RunAsync(string program, string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        if (process.ExitCode != 0)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} failed: {await output}{error}");
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
