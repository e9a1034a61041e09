using Flint.Data.Hosting;
using Flint.Data.Migrations;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using SQLitePCL;

namespace Flint.Data.Sqlite;

/// <summary>
/// The SQLite database: its file, its one writer, its pooled read-only readers and its checkpoint loop. WAL lets a second process read, and
/// write for moments; two servers on one file are for the shared file system's owner to avoid.
/// </summary>
internal sealed class SqliteDatabase : IDatabase, IAsyncDisposable
{
    private readonly DatabaseOptions _options;
    private readonly TimeProvider _time;
    private readonly ILoggerFactory _loggers;
    private readonly SemaphoreSlim _starting = new(1);
    private readonly string _readerConnectionString;
    private volatile SqliteWriter? _writer;
    private SqliteCheckpointer? _checkpointer;
    private int _disposed;

    static SqliteDatabase()
    {
        // SQLite's counting of its memory takes a lock for each allocation. Refused, and harmless, when something used the library before.
        Batteries_V2.Init();
        _ = raw.sqlite3_config(raw.SQLITE_CONFIG_MEMSTATUS, 0);
    }

    public SqliteDatabase(DatabaseOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        _options = options;
        _time = time;
        _loggers = loggers;
        Path = System.IO.Path.Combine(System.IO.Path.GetFullPath(options.DataPath), "flint.db");
        _readerConnectionString = ConnectionString(SqliteOpenMode.ReadOnly, pooling: true);
    }

    public string Provider => "sqlite";

    public string Path { get; }

    public SqliteWriter Writer =>
        _writer ?? throw new InvalidOperationException("The database is not open: IDatabase.MigrateAsync has not been awaited.");

    public async Task MigrateAsync(CancellationToken cancellationToken)
    {
        await _starting.WaitAsync(cancellationToken);
        try
        {
            if (_writer is null)
            {
                Start();
            }
        }
        catch (SqliteException exception)
        {
            throw SqliteFault.Translate(exception, Path);
        }
        finally
        {
            _starting.Release();
        }
    }

    public async Task PingAsync(CancellationToken cancellationToken)
    {
        try
        {
            using var connection = OpenReader();
            using var command = connection.CreateCommand();
            command.CommandText = "SELECT count(*) FROM schema_version";
            command.ExecuteScalar();
        }
        catch (SqliteException exception)
        {
            throw SqliteFault.Translate(exception, Path);
        }

        await Writer.RunAsync(static _ => true, cancellationToken);
    }

    /// <summary>A pooled connection that cannot write. The caller disposes it.</summary>
    public SqliteConnection OpenReader()
    {
        _ = Writer;
        return Open(_readerConnectionString, "PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;");
    }

    public async ValueTask DisposeAsync()
    {
        // A service container disposes it once for each type that it is registered as.
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        if (_checkpointer is not null)
        {
            await _checkpointer.DisposeAsync();
        }

        if (_writer is not null)
        {
            // The last connection to close copies the log into the database and removes it; a reader could not.
            using var connection = new SqliteConnection(_readerConnectionString);
            SqliteConnection.ClearPool(connection);
            await _writer.DisposeAsync();
        }

        _starting.Dispose();
    }

    private void Start()
    {
        DataDirectory.Create(System.IO.Path.GetDirectoryName(Path)!, "Flint:DataPath");
        CreateFile();
        var log = _loggers.CreateLogger<SqliteDatabase>();
        using (var migrating = Open(ConnectionString(SqliteOpenMode.ReadWrite, pooling: false), "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"))
        {
            RequireWal(migrating);
            var ran = new SqliteMigrator(Path, MigrationScript.Load("Sqlite"), _time).Migrate(migrating);
            DatabaseLog.Opened(log, Path, ran);
        }

        // FULL: a commit is on the disk when it is acknowledged. The checkpoint loop does what the automatic checkpoint would do inside a commit.
        // The tables' checks are for other programs' writes: SQLite builds a table of a list of words for each row that it checks, and the stores check what they write.
        var connection = Open(ConnectionString(SqliteOpenMode.ReadWrite, pooling: false), """
            PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0;
            PRAGMA cache_size = -16384; PRAGMA temp_store = MEMORY; PRAGMA ignore_check_constraints = ON;
            """);
        _checkpointer = new SqliteCheckpointer(
            Path,
            () => Open(ConnectionString(SqliteOpenMode.ReadWrite, pooling: false), "PRAGMA synchronous = FULL; PRAGMA busy_timeout = 500;"),
            _options.WalLimitBytes, _time, log);
        _writer = new SqliteWriter(connection, Path, _time);
    }

    private void RequireWal(SqliteConnection connection)
    {
        using var command = connection.CreateCommand();
        command.CommandText = "PRAGMA journal_mode";
        if (command.ExecuteScalar() is not "wal")
        {
            throw new DatabaseException(
                $"The file system of {Path} cannot share memory between connections, which SQLite's write-ahead log needs. Move Flint:DataPath to a local disk.");
        }
    }

    /// <summary>SQLite gives its log files the mode of the database, which holds the functions' environment.</summary>
    private void CreateFile()
    {
        try
        {
            var create = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite | FileShare.Delete };
            if (!OperatingSystem.IsWindows())
            {
                create.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            using var file = new FileStream(Path, create);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DatabaseException(
                $"{Path} cannot be opened for writing ({exception.Message}). Check that the directory in Flint:DataPath belongs to the user that runs Flint.", exception);
        }
    }

    private string ConnectionString(SqliteOpenMode mode, bool pooling) => new SqliteConnectionStringBuilder
    {
        DataSource = Path,
        Mode = mode,
        Pooling = pooling,
        ForeignKeys = false,
        DefaultTimeout = Math.Max(1, _options.BusyTimeoutMs / 1000),
    }.ToString();

    private SqliteConnection Open(string connectionString, string pragmas)
    {
        var connection = new SqliteConnection(connectionString);
        try
        {
            connection.Open();
            using var command = connection.CreateCommand();
            command.CommandText = $"PRAGMA busy_timeout = {_options.BusyTimeoutMs}; {pragmas}";
            command.ExecuteNonQuery();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }
}
