[assembly: AssemblyFixture(typeof(Flint.EndToEnd.Tests.Hosting.Release))]
[assembly: CollectionBehavior(DisableTestParallelization = true)]

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>The built server, as ./run starts it; built here when the sources are newer.</summary>
public sealed class Release : IAsyncLifetime
{
    public Release()
    {
        Repository = FindRepository();
    }

    public string Repository { get; }

    /// <summary>The directory with Flint.Server.dll, flint-launcher and guest/.</summary>
    public string Directory => Path.GetFullPath(
        new DirectoryInfo(Path.Combine(Repository, "artifacts/flint")).ResolveLinkTarget(returnFinalTarget: true)!.FullName);

    public async ValueTask InitializeAsync()
    {
        var build = await Shell.RunAsync("eng/build.sh", Repository, TimeSpan.FromMinutes(10));
        build.ExitCode.ShouldBe(0, build.Output);
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static string FindRepository()
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Flint.slnx")))
            {
                return directory.FullName;
            }
        }

        throw new InvalidOperationException($"No Flint.slnx above {AppContext.BaseDirectory}.");
    }
}
