namespace Flint.Data.Catalog;

/// <summary>
/// The way to the catalog. Reads get a context of their own; writes on SQLite run one after another on the one writer that also writes
/// history, so that no caller ever sees "database is locked"; on PostgreSQL they run in a transaction of their own. Thread-safe.
/// </summary>
public interface ICatalogStore
{
    /// <summary>Runs <paramref name="query"/> on a fresh no-tracking context; again when the connection broke.</summary>
    Task<T> ReadAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken);

    /// <summary>
    /// Runs <paramref name="command"/> in one transaction that is committed (durably) before the task completes, and rolled back when it throws.
    /// The command saves its own changes and does nothing but database work: it may hold the only writer, must not start another write, and is run
    /// again when the connection broke before the commit. A violated unique key surfaces as <see cref="UniqueKeyException"/>, a stale revision as EF's
    /// DbUpdateConcurrencyException, a database that cannot work as <see cref="DatabaseException"/> (the outcome is then unknown if it was lost during the commit).
    /// </summary>
    Task<T> WriteAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken);
}

/// <summary>A unique key stood in the way of a write; the same on every provider.</summary>
public sealed class UniqueKeyException(string message, Exception inner) : Exception(message, inner);
