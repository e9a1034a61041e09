using Flint.Data.Hosting;
using Flint.Data.Migrations;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>The PostgreSQL database: its pool, and the one place that decides what is tried again.</summary>
internal sealed class PostgresDatabase : IDatabase, IAsyncDisposable
{
    private const int Attempts = 4;

    private readonly string _connectionString;
    private readonly TimeProvider _time;
    private readonly ILogger _log;

    public PostgresDatabase(DatabaseOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        var builder = new NpgsqlConnectionStringBuilder(options.ConnectionString);
        builder.ApplicationName ??= "flint";
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
    /// Runs work that is one statement and may be run twice without harm. When the connection breaks it is run again on another one, so that a
    /// restarted PostgreSQL shows as a delay.
    /// </summary>
    public Task<T> RunAsync<T>(Func<NpgsqlConnection, Task<T>> work, CancellationToken cancellationToken) => RetryAsync(
        async () =>
        {
            await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
            return await work(connection);
        },
        cancellationToken);

    /// <summary>Tries again after a lost connection, a few times within a second or so; then throws the translated fault.</summary>
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
            }
            catch (Exception exception) when (PostgresFault.Translate(exception, Name) is var fault && fault != exception)
            {
                throw fault;
            }

            // The others in the pool are as dead as the one that told.
            DataSource.Clear();
            await Task.Delay(TimeSpan.FromMilliseconds(50 << (2 * (attempt - 1))), _time, cancellationToken);
        }
    }

    public ValueTask DisposeAsync() => DataSource.DisposeAsync();
}
