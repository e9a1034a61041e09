using Flint.Runtime.Sandboxing;

namespace Flint.Server.Hosting;

/// <summary><c>Flint.Server doctor</c>: what this host offers to sandboxes and what it lacks, with advice. Starts and changes nothing.</summary>
internal static class Doctor
{
    /// <summary>0 when an engine can work here, else 1.</summary>
    public static async Task<int> RunAsync(string[] args, TextWriter output, CancellationToken cancellationToken, Action<WebApplicationBuilder>? customise = null)
    {
        await using var app = ServerHost.Build(args, builder =>
        {
            builder.Logging.SetMinimumLevel(LogLevel.Warning);
            customise?.Invoke(builder);
        });
        var works = false;
        foreach (var engine in app.Services.GetServices<ISandboxEngine>())
        {
            var report = await engine.ProbeAsync(cancellationToken);
            works |= report.Available;
            await WriteAsync(output, report);
        }

        await output.WriteLineAsync(works ? "Functions can run on this host." : "Functions cannot run on this host as it is configured.");
        return works ? 0 : 1;
    }

    private static async Task WriteAsync(TextWriter output, EngineReport report)
    {
        await output.WriteLineAsync($"engine {report.Engine}: {(report.Available ? "works" : "does not work")}");
        await output.WriteLineAsync($"  {report.Summary}");
        await output.WriteLineAsync($"  runtimes: {(report.Runtimes.Count == 0 ? "none" : string.Join(", ", report.Runtimes))}");
        foreach (var finding in report.Findings)
        {
            await output.WriteLineAsync($"  {(finding.Blocking ? "BLOCKS " : "missing")}  {finding.What}: {finding.Why}");
            await output.WriteLineAsync($"           {finding.Fix}");
        }
    }
}
