using Flint.Data.Catalog;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using SQLitePCL;

namespace Flint.Data.Sqlite;

/// <summary>Turns SQLite's errors into ones that name the remedy; leaves what is not the database's fault alone.</summary>
internal static class SqliteFault
{
    public static Exception Translate(Exception exception, string path)
    {
        if (FindSqlite(exception) is not { } sqlite)
        {
            return exception;
        }

        if (sqlite.SqliteExtendedErrorCode is raw.SQLITE_CONSTRAINT_UNIQUE or raw.SQLITE_CONSTRAINT_PRIMARYKEY)
        {
            return new UniqueKeyException("A row with this key exists.", exception);
        }

        return Remedy(sqlite.SqliteErrorCode, path) is { } remedy
            ? new DatabaseException($"{remedy} (SQLite: {sqlite.Message})", exception)
            : exception;
    }

    private static SqliteException? FindSqlite(Exception exception) => exception switch
    {
        SqliteException sqlite => sqlite,
        DbUpdateConcurrencyException => null,
        DbUpdateException { InnerException: SqliteException inner } => inner,
        _ => null,
    };

    private static string? Remedy(int code, string path) => code switch
    {
        raw.SQLITE_FULL => $"The disk that holds {path} is full. Free space, or move the directory that Flint:DataPath names.",
        raw.SQLITE_CORRUPT or raw.SQLITE_NOTADB =>
            $"{path} is damaged or no SQLite database. Stop Flint, keep a copy, and restore a backup (or try sqlite3's .recover).",
        raw.SQLITE_READONLY or raw.SQLITE_CANTOPEN or raw.SQLITE_PERM =>
            $"{path} cannot be opened for writing. Check that the directory in Flint:DataPath exists and belongs to the user that runs Flint.",
        raw.SQLITE_BUSY or raw.SQLITE_LOCKED =>
            $"Another process holds the write lock of {path} for longer than Flint:Database:BusyTimeoutMs. End it, or raise the limit.",
        raw.SQLITE_IOERR => $"Reading or writing {path} failed. Check the disk and the system's log.",
        _ => null,
    };
}
