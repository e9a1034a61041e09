namespace Flint.Data;

/// <summary>The database as a whole: its start and its health. Thread-safe.</summary>
public interface IDatabase
{
    /// <summary><c>sqlite</c> or <c>postgresql</c>.</summary>
    string Provider { get; }

    /// <summary>
    /// Makes the database usable: creates what is missing and runs the migrations that it lacks. Await it once before anything else uses the
    /// stores; again does nothing. Throws <see cref="SchemaException"/> for a newer or altered schema, <see cref="DatabaseException"/> when it cannot
    /// be reached or written.
    /// </summary>
    Task MigrateAsync(CancellationToken cancellationToken);

    /// <summary>Completes when the database reads and (SQLite) its writer answers; throws <see cref="DatabaseException"/> otherwise.</summary>
    Task PingAsync(CancellationToken cancellationToken);
}
