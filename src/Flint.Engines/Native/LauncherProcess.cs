using System.Buffers.Binary;
using System.ComponentModel;
using System.Diagnostics;
using System.Net.Sockets;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>How the launcher is called.</summary>
internal sealed record LauncherCommand(string Path, IReadOnlyList<string> Options);

/// <summary>The launcher's process: started with an empty environment, and connected over a socket in a directory that only this user can enter.</summary>
internal sealed partial class LauncherProcess
{
    private const int LastLines = 5;
    private static readonly TimeSpan ConnectLimit = TimeSpan.FromSeconds(20);
    private readonly Process _process;
    private readonly Task _diagnostics;
    private readonly Queue<string> _lastLines = new();

    private LauncherProcess(Process process, ILogger logger)
    {
        _process = process;
        Id = process.Id;
        _diagnostics = RelayDiagnosticsAsync(logger);
    }

    public int Id { get; private init; }

    public static async Task<(LauncherProcess Process, Socket Socket)> StartAsync(
        LauncherCommand command, ILogger logger, CancellationToken cancellationToken)
    {
        var directory = Directory.CreateTempSubdirectory("flint-");
        try
        {
            using var listener = new Socket(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);
            var path = Path.Combine(directory.FullName, "control");
            listener.Bind(new UnixDomainSocketEndPoint(path));
            listener.Listen(1);
            var launcher = new LauncherProcess(Spawn(command, ["run", "--connect", path, .. command.Options]), logger);
            return (launcher, await launcher.AcceptAsync(listener, cancellationToken));
        }
        finally
        {
            directory.Delete(recursive: true);
        }
    }

    /// <summary>Runs <c>probe</c>; what it said on stderr explains why no cell can be made.</summary>
    public static async Task<LauncherHello> ProbeAsync(LauncherCommand command, CancellationToken cancellationToken)
    {
        using var process = Spawn(command, ["probe", .. command.Options]);
        using var stderr = process.StandardError;
        using var stdout = process.StandardOutput;
        var errors = stderr.ReadToEndAsync(cancellationToken);
        var output = await stdout.ReadToEndAsync(cancellationToken);
        await process.WaitForExitAsync(cancellationToken);
        var said = (await errors).Trim().ReplaceLineEndings("; ");
        if (process.ExitCode != 0)
        {
            throw new EngineException($"{command.Path} probe ended with status {process.ExitCode}: {said}");
        }

        var hello = LauncherHello.Parse(output);
        return said.Length == 0 ? hello : hello with { Missing = [.. hello.Missing.Select(finding => finding.What == "cells" ? finding with { Fix = said } : finding)] };
    }

    /// <summary>Waits for the process to end by itself (it does when its connection ends), then kills it.</summary>
    public async Task StopAsync(TimeSpan limit)
    {
        try
        {
            await _process.WaitForExitAsync().WaitAsync(limit);
        }
        catch (TimeoutException)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        await _diagnostics;
        // Process leaves a stream that was read to its reader.
        _process.StandardError.Dispose();
        _process.Dispose();
    }

    /// <summary>What the launcher last said on stderr, once it has ended.</summary>
    public async Task<string> LastWordsAsync(TimeSpan limit)
    {
        try
        {
            await _diagnostics.WaitAsync(limit);
        }
        catch (TimeoutException)
        {
            return "it hangs without a word";
        }

        lock (_lastLines)
        {
            return _lastLines.Count == 0 ? "it said nothing" : string.Join("; ", _lastLines);
        }
    }

    private static Process Spawn(LauncherCommand command, IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(command.Path, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = "/",
        };
        start.Environment.Clear();
        start.Environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin";
        try
        {
            var process = Process.Start(start) ?? throw new EngineException($"{command.Path} could not be started.");
            process.StandardInput.Close();
            return process;
        }
        catch (Win32Exception exception)
        {
            throw new EngineException($"The launcher {command.Path} could not be started: {exception.Message}", exception);
        }
    }

    private async Task<Socket> AcceptAsync(Socket listener, CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(ConnectLimit);
        var accept = listener.AcceptAsync(limit.Token).AsTask();
        var exit = _process.WaitForExitAsync(limit.Token);
        await Task.WhenAny(accept, exit);
        if (accept.IsCompletedSuccessfully)
        {
            try
            {
                VerifyPeer(await accept);
                return await accept;
            }
            catch (EngineException)
            {
                await StopAsync(TimeSpan.Zero);
                throw;
            }
        }

        var said = await LastWordsAsync(TimeSpan.FromSeconds(1));
        await StopAsync(TimeSpan.Zero);
        cancellationToken.ThrowIfCancellationRequested();
        throw new EngineException($"The launcher did not connect: {said}");
    }

    private void VerifyPeer(Socket socket)
    {
        Span<byte> credentials = stackalloc byte[12];
        socket.GetRawSocketOption(Libc.SolSocket, Libc.SoPeerCred, credentials);
        var peer = BinaryPrimitives.ReadInt32LittleEndian(credentials);
        if (peer != _process.Id)
        {
            socket.Dispose();
            throw new EngineException($"Process {peer} answered instead of the launcher (process {_process.Id}).");
        }
    }

    private async Task RelayDiagnosticsAsync(ILogger logger)
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            LogLauncherSaid(logger, line);
            lock (_lastLines)
            {
                _lastLines.Enqueue(line);
                if (_lastLines.Count > LastLines)
                {
                    _lastLines.Dequeue();
                }
            }
        }
    }

    [LoggerMessage(4011, LogLevel.Warning, "Launcher: {Line}")]
    private static partial void LogLauncherSaid(ILogger logger, string line);
}
