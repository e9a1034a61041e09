using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Flint.Bench.Servers;

/// <summary>A server process of this run: its output goes to a file, and disposing ends it by its pid and waits until it has ended.</summary>
internal sealed partial class ChildServer : IAsyncDisposable
{
    private const int Terminate = 15;
    private static readonly TimeSpan EndLimit = TimeSpan.FromSeconds(20);
    private readonly Process _process;
    private readonly Task _output;

    private ChildServer(Process process, Task output)
    {
        _process = process;
        _output = output;
    }

    public int Pid => _process.Id;

    public static ChildServer Start(string file, IReadOnlyList<string> arguments, string directory, string logFile)
    {
        ProcessStartInfo start = new(file, arguments)
        {
            WorkingDirectory = directory,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
        };
        Process process = Process.Start(start) ?? throw new BenchException($"{file} did not start");
        process.StandardInput.Close();
        FileStream log = new(logFile, FileMode.Append, FileAccess.Write, FileShare.ReadWrite);
        return new ChildServer(process, CopyOutputAsync(process, log));
    }

    /// <summary>A port that was free a moment ago.</summary>
    public static int FreePort()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Waits until something listens on the port. Throws <see cref="BenchException"/> when nothing does.</summary>
    public static async Task WaitListeningAsync(int port, CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(began) < EndLimit)
        {
            using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                await socket.ConnectAsync(IPAddress.Loopback, port, cancellationToken);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, cancellationToken);
            }
        }
        throw new BenchException($"nothing listens on port {port}");
    }

    /// <summary>Waits until the process has made a file, such as its socket. Throws <see cref="BenchException"/> when it does not.</summary>
    public async Task WaitForFileAsync(string path, CancellationToken cancellationToken)
    {
        long began = Stopwatch.GetTimestamp();
        while (!File.Exists(path))
        {
            if (_process.HasExited || Stopwatch.GetElapsedTime(began) > EndLimit)
            {
                throw new BenchException($"process {Pid} did not make {path}");
            }
            await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System, cancellationToken);
        }
    }

    /// <summary>Throws <see cref="BenchException"/> when the process has ended.</summary>
    public void CheckAlive(string logFile)
    {
        if (_process.HasExited)
        {
            string[] log = File.Exists(logFile) ? File.ReadAllLines(logFile) : [];
            throw new BenchException($"ended with status {_process.ExitCode}: {string.Join(" | ", log.TakeLast(5))}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited && Kill(_process.Id, Terminate) == 0)
        {
            using CancellationTokenSource limit = new(EndLimit);
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill(entireProcessTree: true);
                await _process.WaitForExitAsync(CancellationToken.None);
            }
        }
        await _output;
        _process.Dispose();
    }

    private static async Task CopyOutputAsync(Process process, FileStream log)
    {
        await using (log)
        {
            Stream output = Stream.Synchronized(log);
            await Task.WhenAll(
                process.StandardOutput.BaseStream.CopyToAsync(output),
                process.StandardError.BaseStream.CopyToAsync(output));
        }
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}
