using Flint.Data.Blobs;
using Flint.Data.Catalog;
using Flint.Data.Hosting;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Microsoft.Extensions.DependencyInjection;

namespace Flint.Data.Tests;

/// <summary>A migrated database behind the services that the server gets, and the directory it lives in.</summary>
internal sealed class TestStore : IAsyncDisposable
{
    private readonly ServiceProvider _services;

    private TestStore(ServiceProvider services) => _services = services;

    public IDatabase Database => _services.GetRequiredService<IDatabase>();

    public ICatalogStore Catalog => _services.GetRequiredService<ICatalogStore>();

    public IBlobStore Blobs => _services.GetRequiredService<IBlobStore>();

    public IInvocationStore Invocations => _services.GetRequiredService<IInvocationStore>();

    public IQueueStore Queue => _services.GetRequiredService<IQueueStore>();

    public InvocationJournal Journal => _services.GetRequiredService<InvocationJournal>();

    public T Get<T>() where T : notnull => _services.GetRequiredService<T>();

    public static async Task<TestStore> OpenAsync(DatabaseOptions options, Action<IServiceCollection>? configure = null)
    {
        var services = new ServiceCollection();
        configure?.Invoke(services);
        var store = new TestStore(services.AddFlintData(options).BuildServiceProvider());
        try
        {
            await store.Database.MigrateAsync(CancellationToken.None);
            return store;
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync() => _services.DisposeAsync();
}
