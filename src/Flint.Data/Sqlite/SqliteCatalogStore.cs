using Flint.Data.Catalog;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data.Sqlite;

internal sealed class SqliteCatalogStore(SqliteDatabase database) : ICatalogStore
{
    // Set while a command holds the writer: one that waited for a second command would wait for itself.
    private readonly AsyncLocal<bool> _writing = new();

    public async Task<T> ReadAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken)
    {
        try
        {
            await using var connection = database.OpenReader();
            await using var context = Context(connection, QueryTrackingBehavior.NoTracking);
            return await query(context, cancellationToken);
        }
        catch (SqliteException exception)
        {
            throw SqliteFault.Translate(exception, database.Path);
        }
    }

    public Task<T> WriteAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken)
    {
        if (_writing.Value)
        {
            throw new InvalidOperationException("A write command must not start another: it holds the only writer.");
        }

        return database.Writer.RunAsync(scope => Run(scope, command, cancellationToken), cancellationToken);
    }

    private T Run<T>(SqliteWriteScope scope, Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken)
    {
        using var context = Context(scope.Connection, QueryTrackingBehavior.TrackAll);
        context.Database.UseTransaction(scope.Transaction);
        _writing.Value = true;
        try
        {
            // SQLite answers at once, so this rarely blocks; the thread is the writer's own.
            return command(context, cancellationToken).GetAwaiter().GetResult();
        }
        finally
        {
            _writing.Value = false;
        }
    }

    private static FlintDbContext Context(SqliteConnection connection, QueryTrackingBehavior tracking) =>
        new(new DbContextOptionsBuilder<FlintDbContext>().UseSqlite(connection).UseQueryTrackingBehavior(tracking).Options);
}
