namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>One server for all tests of a class; each uses function names of its own.</summary>
public sealed class RunningServer(Release release) : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();

    internal FlintServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await FlintServer.StartAsync(release, _directory.Path);

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        _directory.Dispose();
    }
}
