using Flint.Data.Tests.Postgres;

[assembly: AssemblyFixture(typeof(PostgresFixture))]

namespace Flint.Data.Tests.Postgres;

/// <summary>One PostgreSQL for all tests that do not stop it; started by the first that asks.</summary>
public sealed class PostgresFixture : IAsyncDisposable
{
    private readonly SemaphoreSlim _starting = new(1);
    private PostgresServer? _server;

    /// <summary>The programs' directory; without them the test is skipped, or fails where CI is set.</summary>
    internal static string RequireBin()
    {
        var bin = PostgresServer.FindBin();
        if (bin is null)
        {
            const string Reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)";
            Assert.SkipWhen(string.IsNullOrEmpty(Environment.GetEnvironmentVariable("CI")), Reason);
            Assert.Fail(Reason);
        }

        return bin;
    }

    /// <summary>The connection string of an empty database.</summary>
    public async Task<string> CreateDatabaseAsync()
    {
        var bin = RequireBin();
        await _starting.WaitAsync();
        try
        {
            _server ??= await PostgresServer.StartNewAsync(bin);
        }
        finally
        {
            _starting.Release();
        }

        return await _server.CreateDatabaseAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }
}
