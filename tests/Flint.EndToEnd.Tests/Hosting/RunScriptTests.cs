using System.Diagnostics;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>./run itself: what it passes on, and that a second start rebuilds nothing.</summary>
public sealed class RunScriptTests(Release release) : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    [Fact]
    public async Task Doctor_tells_what_the_host_offers()
    {
        var doctor = await Shell.RunAsync(
            $"{release.Repository}/run doctor --Flint:DataPath {_directory.Path}", _directory.Path, TimeSpan.FromMinutes(1));

        doctor.Output.ShouldContain("native");
        doctor.Output.ShouldContain("python3.");
        if (Environment.IsPrivilegedProcess)
        {
            doctor.ExitCode.ShouldBe(0, doctor.Output);
        }
    }

    [Fact]
    public async Task A_second_start_rebuilds_nothing_listens_within_seconds_and_takes_arguments()
    {
        var built = Directory.GetLastWriteTimeUtc(Path.Combine(release.Directory, "Flint.Server.dll"));
        var started = Stopwatch.GetTimestamp();
        await using var server = await FlintServer.StartAsync(ServerStart.Of(release, _directory.Path) with
        {
            Command = [Path.Combine(release.Repository, "run")],
        });

        Stopwatch.GetElapsedTime(started).ShouldBeLessThan(TimeSpan.FromSeconds(10), server.Output);
        Directory.GetLastWriteTimeUtc(Path.Combine(release.Directory, "Flint.Server.dll")).ShouldBe(built);
        File.ReadAllText($"/proc/{server.ProcessId}/cmdline").ShouldContain("Flint.Server.dll", customMessage: "run becomes the server, so that signals reach it");
        Directory.EnumerateFileSystemEntries(_directory.Path).ShouldNotBeEmpty("the data path that was passed is used");
        (await server.StopAsync()).ShouldBe(0, server.Output);
    }

    [Fact]
    public async Task An_unknown_setting_is_refused_by_name()
    {
        var result = await Shell.RunAsync(
            $"{release.Repository}/run --urls http://127.0.0.1:{FlintServer.FreePort()} --Flint:DataPath {_directory.Path} --Flint:NoSuchThing 1",
            _directory.Path, TimeSpan.FromSeconds(30));

        result.ExitCode.ShouldNotBe(0, result.Output);
        result.Output.ShouldContain("NoSuchThing");
    }

    public void Dispose() => _directory.Dispose();
}
