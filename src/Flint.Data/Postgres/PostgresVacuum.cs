using Microsoft.Extensions.Logging;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>
/// Vacuums the queue as it is worked off. Claims look at the front of its index, which is where its dead entries are: PostgreSQL's own vacuum comes once a minute, after hundreds of
/// thousands of them. One at a time over all servers; ended by disposal.
/// </summary>
internal sealed class PostgresVacuum(PostgresDatabase database, TimeProvider time, ILogger log) : IAsyncDisposable
{
    // A few dozen pages of an index: a claim passes them within the time of a commit.
    private const long Enough = 4000;

    // Of a large backlog's rows: a vacuum reads the whole of its indexes.
    private const double EnoughOfRows = 0.05;

    // SKIP_LOCKED: another server is at it. No truncation, which would lock out everybody: the table grows again.
    private const string Vacuum = "VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON, TRUNCATE OFF, PARALLEL 0) queue";

    private const string Rows = "SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'queue'::regclass";

    private static readonly TimeSpan AfterFailure = TimeSpan.FromMinutes(1);

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stopping = new();
    private long _dead;
    private long _enough = Enough;
    private Task _running = Task.CompletedTask;

    /// <summary>Rows of the queue were changed or deleted.</summary>
    public void Count(int rows)
    {
        lock (_lock)
        {
            _dead += rows;
            if (_dead >= _enough && _running.IsCompleted && !_stopping.IsCancellationRequested)
            {
                _dead = 0;
                _running = Task.Run(() => RunAsync(_stopping.Token));
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        Task running;
        lock (_lock)
        {
            _stopping.Cancel();
            running = _running;
        }

        await running;
        _stopping.Dispose();
    }

    private async Task RunAsync(CancellationToken stopping)
    {
        try
        {
            await using var connection = await database.DataSource.OpenConnectionAsync(stopping);
            await using (var vacuum = new NpgsqlCommand(Vacuum, connection) { CommandTimeout = 0 })
            {
                await vacuum.ExecuteNonQueryAsync(stopping);
            }

            await using var count = new NpgsqlCommand(Rows, connection);
            var rows = (double)(await count.ExecuteScalarAsync(stopping))!;
            lock (_lock)
            {
                _enough = Math.Max(Enough, (long)(rows * EnoughOfRows));
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // Autovacuum does the rest.
        }
        catch (Exception exception)
        {
            DatabaseLog.VacuumFailed(log, exception);
            await Task.Delay(AfterFailure, time, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
