using Flint.Data.Hosting;

namespace Flint.Data.Tests.Conformance;

/// <summary>What both providers must do alike starts here: a store of the test's own.</summary>
public abstract class StoreConformance : IAsyncLifetime
{
    private TestStore? _store;

    internal TestStore Store => _store ?? throw new InvalidOperationException("The store is not open.");

    internal TempDirectory Directory { get; } = new();

    public virtual async ValueTask InitializeAsync() => _store = await TestStore.OpenAsync(await OptionsAsync());

    public virtual async ValueTask DisposeAsync()
    {
        if (_store is not null)
        {
            await _store.DisposeAsync();
        }

        Directory.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the store and opens the same database again.</summary>
    protected async Task ReopenAsync()
    {
        await Store.DisposeAsync();
        _store = await TestStore.OpenAsync(await OptionsAsync());
    }

    /// <summary>The same database each time within one test.</summary>
    protected abstract Task<DatabaseOptions> OptionsAsync();
}
