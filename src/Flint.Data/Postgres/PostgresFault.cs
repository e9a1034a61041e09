using Flint.Data.Catalog;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>Turns PostgreSQL's errors into ones that name the remedy; leaves what is not the database's fault alone.</summary>
internal static class PostgresFault
{
    /// <summary>True when the connection broke or was refused, so that another one may do better. A time-out is none: the server may be at work.</summary>
    public static bool IsConnectionLoss(Exception exception) => Find(exception) switch
    {
        PostgresException postgres => postgres.SqlState is PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown
            or PostgresErrorCodes.CannotConnectNow or PostgresErrorCodes.ConnectionException or PostgresErrorCodes.ConnectionFailure
            or PostgresErrorCodes.ConnectionDoesNotExist or PostgresErrorCodes.IdleSessionTimeout,
        { InnerException: TimeoutException } => false,
        { InnerException: IOException or System.Net.Sockets.SocketException } => true,
        _ => false,
    };

    /// <summary>True when the server has undone the transaction for the sake of another: it may do better the next time.</summary>
    public static bool IsConflict(Exception exception) =>
        Find(exception) is PostgresException { SqlState: PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure };

    /// <param name="database">Host and database, for messages; never the connection string, which may hold a password.</param>
    public static Exception Translate(Exception exception, string database)
    {
        if (Find(exception) is not { } npgsql)
        {
            return exception;
        }

        if (npgsql is { InnerException: TimeoutException } && npgsql.Message.Contains("pool has been exhausted", StringComparison.Ordinal))
        {
            return new DatabaseException(
                $"{database}: all connections of the pool are in use, and none was free in time; raise Maximum Pool Size or Timeout in Flint:Database:ConnectionString.", exception);
        }

        if (npgsql is not PostgresException postgres)
        {
            return new DatabaseException(
                $"{database} cannot be reached ({npgsql.Message}). Check that PostgreSQL runs, and Flint:Database:ConnectionString.", exception);
        }

        if (postgres.SqlState == PostgresErrorCodes.UniqueViolation)
        {
            return new UniqueKeyException($"A row with this key exists ({postgres.ConstraintName}).", exception);
        }

        return Remedy(postgres.SqlState) is { } remedy
            ? new DatabaseException($"{database}: {remedy} (PostgreSQL: {postgres.MessageText})", exception)
            : exception;
    }

    private static NpgsqlException? Find(Exception exception) => exception switch
    {
        NpgsqlException npgsql => npgsql,
        DbUpdateConcurrencyException => null,
        DbUpdateException { InnerException: { } inner } => Find(inner),
        // EF wraps what it takes for passing.
        InvalidOperationException { InnerException: NpgsqlException npgsql } => npgsql,
        InvalidOperationException { InnerException: DbUpdateException inner } => Find(inner),
        _ => null,
    };

    private static string? Remedy(string state) => state switch
    {
        PostgresErrorCodes.DiskFull => "the server's disk is full; free space there.",
        PostgresErrorCodes.TooManyConnections =>
            "the server takes no more connections; raise max_connections, or lower Maximum Pool Size in Flint:Database:ConnectionString.",
        PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification =>
            "the server refuses this user; check Username and Password in Flint:Database:ConnectionString.",
        PostgresErrorCodes.InvalidCatalogName => "there is no such database; create it first (CREATE DATABASE).",
        PostgresErrorCodes.InsufficientPrivilege => "the user lacks a right; it must own the database's schema.",
        PostgresErrorCodes.ReadOnlySqlTransaction => "the server is read-only, such as a standby; name the primary.",
        PostgresErrorCodes.AdminShutdown or PostgresErrorCodes.CrashShutdown or PostgresErrorCodes.CannotConnectNow =>
            "the server is stopping or starting; try again.",
        PostgresErrorCodes.DataCorrupted or PostgresErrorCodes.IndexCorrupted => "the server reports damaged data; restore a backup.",
        PostgresErrorCodes.LockNotAvailable => "another Flint holds the migration lock for over a minute; end it.",
        _ => null,
    };
}
