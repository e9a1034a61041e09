using System.Diagnostics;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>What a finished command said.</summary>
internal sealed record ShellResult(int ExitCode, string Stdout, string Stderr)
{
    public string Output => Stdout + Stderr;
}

/// <summary>Runs commands as a person at a terminal does: by bash, in a directory.</summary>
internal static class Shell
{
    public static async Task<ShellResult> RunAsync(
        string script, string directory, TimeSpan limit, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo("/bin/bash", ["-eu", "-o", "pipefail", "-c", script])
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        process.StandardInput.Close();
        var stdout = process.StandardOutput.ReadToEndAsync();
        var stderr = process.StandardError.ReadToEndAsync();
        using var timeout = new CancellationTokenSource(limit);
        try
        {
            await process.WaitForExitAsync(timeout.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"Not finished after {limit}: {script}\n{await stdout}{await stderr}");
        }

        return new ShellResult(process.ExitCode, await stdout, await stderr);
    }
}
