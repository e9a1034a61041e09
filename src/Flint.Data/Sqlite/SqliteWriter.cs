using System.Threading.Channels;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Flint.Data.Sqlite;

/// <summary>
/// The one writer of a SQLite database: a thread of its own that takes commands from a bounded queue and runs those that wait together
/// in one BEGIN IMMEDIATE. One that fails is rolled back alone: by its savepoint, or, among commands that may be run twice, by running the others again.
/// Callers are answered after the commit.
/// </summary>
internal sealed class SqliteWriter : IAsyncDisposable
{
    private const int QueueLimit = 4096;
    private const int BatchLimit = 512;

    // A batch that runs for longer is committed, so that the first caller does not wait for the last.
    private static readonly TimeSpan BatchTime = TimeSpan.FromMilliseconds(20);

    private readonly SqliteWriteScope _scope;
    private readonly string _path;
    private readonly TimeProvider _time;
    private readonly Channel<SqliteWriteCommand> _queue = Channel.CreateBounded<SqliteWriteCommand>(
        new BoundedChannelOptions(QueueLimit) { SingleReader = true });
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly List<SqliteWriteCommand> _batch = [];

    // A savepoint copies each page that is changed within it: commands that may be run twice do without, until one of their batch fails.
    private bool _savepoints;

    /// <param name="connection">An open connection that only this writer uses from now on.</param>
    /// <param name="path">The database's file, for messages.</param>
    /// <param name="time">Measures batches.</param>
    public SqliteWriter(SqliteConnection connection, string path, TimeProvider time)
    {
        _scope = new SqliteWriteScope(connection);
        _path = path;
        _time = time;
        new Thread(Loop) { Name = "flint-sqlite-writer", IsBackground = true }.Start();
    }

    /// <summary>
    /// Runs <paramref name="work"/> on the writer and completes after its commit. Cancelling withdraws a command that waits; one that runs is
    /// waited for. Throws <see cref="ObjectDisposedException"/> after disposal.
    /// </summary>
    /// <param name="work">Runs on the writer's thread.</param>
    /// <param name="cancellationToken">Withdraws it.</param>
    /// <param name="repeatable">The work may be run again after it was rolled back: it changes nothing outside the database that matters.</param>
    public async Task<T> RunAsync<T>(Func<SqliteWriteScope, T> work, CancellationToken cancellationToken, bool repeatable = false)
    {
        var command = new SqliteWriteCommand<T>(work, repeatable);
        await using var registration = cancellationToken.UnsafeRegister(
            static (state, token) => ((SqliteWriteCommand<T>)state!).Withdraw(token), command);
        try
        {
            await _queue.Writer.WriteAsync(command, cancellationToken);
        }
        catch (ChannelClosedException)
        {
            throw new ObjectDisposedException(nameof(SqliteWriter), "The database is closed.");
        }

        return await command.Task;
    }

    /// <summary>Takes no more commands, runs those that wait, and closes the connection.</summary>
    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _ended.Task;
    }

    private void Loop()
    {
        try
        {
            while (_queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
            {
                RunBatch();
            }

            _scope.Dispose();
            _ended.TrySetResult();
        }
        catch (Exception exception)
        {
            // Batches catch their own faults; what arrives here ended the thread, and nobody may wait for it.
            _queue.Writer.TryComplete(exception);
            SettleAll(exception);
            while (_queue.Reader.TryRead(out var command))
            {
                command.Fail(exception);
                command.Settle();
            }

            _ended.TrySetException(exception);
        }
    }

    private void RunBatch()
    {
        _batch.Clear();
        if (!TakeNext())
        {
            return;
        }

        try
        {
            if (!RunTransaction(again: false))
            {
                RunTransaction(again: true);
            }

            SettleAll(null);
        }
        catch (Exception exception)
        {
            // Disposing the transaction rolled back whatever SQLite had not.
            SettleAll(SqliteFault.Translate(exception, _path));
        }
        finally
        {
            _scope.Transaction = null;
        }
    }

    /// <summary>Runs the batch and commits it; false when a command without a savepoint failed, and all is rolled back.</summary>
    /// <param name="again">The batch's commands were run before; each gets a savepoint, and no further ones are taken.</param>
    private bool RunTransaction(bool again)
    {
        using var transaction = _scope.Connection.BeginTransaction(deferred: false);
        _scope.Transaction = transaction;
        _scope.ForgetTotals();
        _savepoints = again;
        var started = _time.GetTimestamp();
        for (var i = 0; i < _batch.Count; i++)
        {
            if (!RunOne(_batch[i]))
            {
                return false;
            }

            if (!again && i == _batch.Count - 1 && _batch.Count < BatchLimit && _time.GetElapsedTime(started) < BatchTime)
            {
                TakeNext();
            }
        }

        _scope.WriteTotals();
        transaction.Commit();
        return true;
    }

    private bool TakeNext()
    {
        while (_queue.Reader.TryRead(out var command))
        {
            if (command.TryStart())
            {
                _batch.Add(command);
                return true;
            }
        }

        return false;
    }

    /// <summary>False when it failed and had no savepoint. Throws only when the transaction is gone, and with it the work of the whole batch.</summary>
    private bool RunOne(SqliteWriteCommand command)
    {
        if (!_savepoints && command.Repeatable)
        {
            try
            {
                command.Run(_scope);
                return true;
            }
            catch (Exception)
            {
                // With a savepoint it fails again, alone.
                return false;
            }
        }

        if (!_savepoints)
        {
            _savepoints = true;
            _scope.WriteTotals();
        }

        _scope.Statement("SAVEPOINT command").Execute();
        try
        {
            command.Run(_scope);
            _scope.WriteTotals();
        }
        catch (Exception exception)
        {
            command.Fail(SqliteFault.Translate(exception, _path));
            _scope.ForgetTotals();
            if (raw.sqlite3_get_autocommit(_scope.Connection.Handle!) != 0)
            {
                throw;
            }

            _scope.Statement("ROLLBACK TO command").Execute();
        }

        _scope.Statement("RELEASE command").Execute();
        return true;
    }

    private void SettleAll(Exception? failure)
    {
        foreach (var command in _batch)
        {
            if (failure is not null)
            {
                command.Fail(failure);
            }

            command.Settle();
        }

        _batch.Clear();
    }
}
