using System.Diagnostics;

namespace Flint.Server.Tests.Hosting;

/// <summary>The server as the process that people start.</summary>
public sealed class ProcessTests
{
    [Fact]
    public async Task A_wrong_configuration_ends_with_status_2_and_all_its_problems()
    {
        // The command line wins over the environment: one value is wrong only there, one only in the environment, and one is put right.
        var (status, output, errors) = await RunAsync(
            ["--urls", "http://0.0.0.0:0", "--Flint:Limits:MaxPayloadBytes", "many", "--Flint:Http:MaxConnections", "5", "--Flint:Nothing", "1"],
            ("Flint__Limits__MaxPayloadBytes", "2000"), ("Flint__Http__MaxConnections", "0"), ("Flint__History__PayloadMode", "Some"));
        status.ShouldBe(2, output + errors);
        output.ShouldBeEmpty();
        foreach (var problem in (string[])["http://0.0.0.0:0", "Flint:Limits:MaxPayloadBytes: 'many'", "Flint:Nothing: no such option", "Flint:History:PayloadMode"])
        {
            errors.ShouldContain(problem);
        }

        errors.ShouldNotContain("MaxConnections:");
        errors.Split('\n').Count(line => line.StartsWith("  - ", StringComparison.Ordinal)).ShouldBe(4);
        errors.ShouldNotContain("   at ");
    }

    private static async Task<(int Status, string Output, string Errors)> RunAsync(string[] arguments, params (string Name, string Value)[] environment)
    {
        var server = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../Flint.Server", Path.GetFileName(AppContext.BaseDirectory.TrimEnd('/')), "Flint.Server.dll"));
        File.Exists(server).ShouldBeTrue(server);
        var start = new ProcessStartInfo(Environment.ProcessPath is { } path && Path.GetFileName(path) == "dotnet" ? path : "dotnet", [server, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Path.GetTempPath(),
        };
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using var process = Process.Start(start)!;
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(patience.Token);
            var errors = process.StandardError.ReadToEndAsync(patience.Token);
            await process.WaitForExitAsync(patience.Token);
            return (process.ExitCode, await output, await errors);
        }
        finally
        {
            process.Kill();
        }
    }
}
