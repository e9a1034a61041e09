using Flint.Data.Catalog;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data.Postgres;

internal sealed class PostgresCatalogStore : ICatalogStore
{
    private readonly PostgresDatabase _database;
    private readonly DbContextOptions<FlintDbContext> _reading;
    private readonly DbContextOptions<FlintDbContext> _writing;

    public PostgresCatalogStore(PostgresDatabase database)
    {
        _database = database;
        _reading = Options(QueryTrackingBehavior.NoTracking);
        _writing = Options(QueryTrackingBehavior.TrackAll);
    }

    public Task<T> ReadAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken) => _database.RetryAsync(
        async () =>
        {
            await using var context = new FlintDbContext(_reading);
            return await query(context, cancellationToken);
        },
        cancellationToken);

    public Task<T> WriteAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken)
    {
        // Until COMMIT is sent, a lost connection has undone everything. After it, nobody knows.
        var committing = false;
        return _database.RetryAsync(
            async () =>
            {
                await using var context = new FlintDbContext(_writing);
                await using var transaction = await context.Database.BeginTransactionAsync(cancellationToken);
                var result = await command(context, cancellationToken);
                cancellationToken.ThrowIfCancellationRequested();
                committing = true;
                await transaction.CommitAsync(CancellationToken.None);
                return result;
            },
            cancellationToken,
            () => !committing);
    }

    private DbContextOptions<FlintDbContext> Options(QueryTrackingBehavior tracking) =>
        new DbContextOptionsBuilder<FlintDbContext>().UseNpgsql(_database.DataSource).UseQueryTrackingBehavior(tracking).Options;
}
