using System.Data.Common;
using Flint.Data.Hosting;
using Flint.Data.Migrations;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>The PostgreSQL database: its pool, and the one place that decides what is tried again.</summary>
internal sealed class PostgresDatabase : IDatabase, IAsyncDisposable
{
    private const int Attempts = 4;

    // All that Flint sends again and again. Planning the queue's statements takes as long as running them.
    private const int StatementsPrepared = 100;

    private readonly string _connectionString;
    private readonly TimeProvider _time;
    private readonly ILogger _log;

    public PostgresDatabase(DatabaseOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        var builder = new NpgsqlConnectionStringBuilder(options.ConnectionString);
        builder.ApplicationName ??= "flint";
        if (!NamesPreparing(options.ConnectionString))
        {
            builder.MaxAutoPrepare = StatementsPrepared;
        }

        _connectionString = builder.ToString();
        _time = time;
        _log = loggers.CreateLogger<PostgresDatabase>();
        Name = $"PostgreSQL database {builder.Database ?? builder.Username} on {builder.Host}:{builder.Port}";
        DataSource = NpgsqlDataSource.Create(builder);
    }

    public string Provider => "postgresql";

    /// <summary>For messages: host and database, no secret.</summary>
    public string Name { get; }

    public NpgsqlDataSource DataSource { get; }

    public async Task MigrateAsync(CancellationToken cancellationToken)
    {
        var own = new NpgsqlConnectionStringBuilder(_connectionString) { Pooling = false };
        var ran = await RetryAsync(
            async () =>
            {
                await using var connection = new NpgsqlConnection(own.ToString());
                await connection.OpenAsync(cancellationToken);
                return await new PostgresMigrator(Name, MigrationScript.Load("Postgres"), _time).MigrateAsync(connection, cancellationToken);
            },
            cancellationToken);
        DatabaseLog.Opened(_log, Name, ran);
    }

    public Task PingAsync(CancellationToken cancellationToken) => RunAsync(
        async connection =>
        {
            await using var command = new NpgsqlCommand("SELECT 1", connection);
            return await command.ExecuteScalarAsync(cancellationToken);
        },
        cancellationToken);

    /// <summary>
    /// Runs work that is one transaction, or reads, and may be run twice without harm. When the connection breaks it is run again on another one, so that a
    /// restarted PostgreSQL shows as a delay.
    /// </summary>
    public Task<T> RunAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancellationToken) => RetryAsync(
        async () =>
        {
            await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
            return await work(connection);
        },
        cancellationToken);

    /// <summary>All rows of one statement that may be run twice without harm.</summary>
    public Task<List<T>> ReadAsync<T>(string sql, Action<NpgsqlParameterCollection> parameters, Func<NpgsqlDataReader, T> read, CancellationToken cancellationToken) => RunAsync(
        async connection =>
        {
            await using var command = new NpgsqlCommand(sql, connection);
            parameters(command.Parameters);
            await using var reader = await command.ExecuteReaderAsync(cancellationToken);
            var rows = new List<T>();
            while (await reader.ReadAsync(cancellationToken))
            {
                rows.Add(read(reader));
            }

            return rows;
        },
        cancellationToken);

    /// <summary>Tries again after a lost connection or a deadlock, a few times within a second or so; then throws the translated fault.</summary>
    /// <param name="mayRetry">Asked after a lost connection; null means always.</param>
    public async Task<T> RetryAsync<T>(Func<Task<T>> work, CancellationToken cancellationToken, Func<bool>? mayRetry = null)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await work();
            }
            catch (Exception exception) when (attempt < Attempts && PostgresFault.IsConnectionLoss(exception) && (mayRetry?.Invoke() ?? true))
            {
                DatabaseLog.Reconnecting(_log, exception, attempt);
                // The others in the pool are as dead as the one that told.
                DataSource.Clear();
            }
            catch (Exception exception) when (attempt < Attempts && PostgresFault.IsConflict(exception))
            {
                DatabaseLog.Conflict(_log, exception, attempt);
            }
            catch (Exception exception) when (PostgresFault.Translate(exception, Name) is var fault && fault != exception)
            {
                throw fault;
            }

            await Task.Delay(TimeSpan.FromMilliseconds(50 << (2 * (attempt - 1))), _time, cancellationToken);
        }
    }

    /// <summary>Behind poolers that do not know prepared statements it is set to 0; that stands.</summary>
    private static bool NamesPreparing(string connectionString)
    {
        var named = new DbConnectionStringBuilder { ConnectionString = connectionString };
        return named.ContainsKey("Max Auto Prepare") || named.ContainsKey("MaxAutoPrepare");
    }

    public ValueTask DisposeAsync() => DataSource.DisposeAsync();
}
