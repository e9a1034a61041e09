using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;

namespace Flint.Data.Sqlite;

/// <summary>
/// Copies the write-ahead log into the database, on a connection of its own so that commits go on meanwhile: PASSIVE (nobody waits) whenever it has grown,
/// TRUNCATE (writers wait for its end) when it is longer than the limit. One loop, ended by disposal.
/// </summary>
internal sealed class SqliteCheckpointer : IAsyncDisposable
{
    private const long WorthCopying = 4L << 20;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan IdleInterval = TimeSpan.FromSeconds(30);

    private readonly string _path;
    private readonly Func<SqliteConnection> _open;
    private readonly long _limit;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _loop;
    private SqliteConnection? _connection;
    private long _copiedAt;

    public SqliteCheckpointer(string path, Func<SqliteConnection> open, long limit, TimeProvider time, ILogger log)
    {
        _path = path;
        _open = open;
        _limit = limit;
        _time = time;
        _log = log;
        _copiedAt = time.GetTimestamp();
        _loop = Task.Run(() => LoopAsync(_stopping.Token));
    }

    /// <summary>One look at the log; copies when there is reason. Returns the mode that was run, or null.</summary>
    internal string? RunOnce()
    {
        var length = LogLength();
        if (length > _limit)
        {
            return Run("TRUNCATE");
        }

        var idle = length > 0 && _time.GetElapsedTime(_copiedAt) > IdleInterval;
        return length > WorthCopying || idle ? Run("PASSIVE") : null;
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _loop;
        _connection?.Dispose();
        _stopping.Dispose();
    }

    private async Task LoopAsync(CancellationToken stopping)
    {
        using var timer = new PeriodicTimer(Interval, _time);
        try
        {
            while (await timer.WaitForNextTickAsync(stopping))
            {
                TryRun();
            }
        }
        catch (OperationCanceledException)
        {
            // The loop's end.
        }
    }

    private void TryRun()
    {
        try
        {
            RunOnce();
        }
        catch (Exception exception) when (exception is SqliteException or IOException or UnauthorizedAccessException)
        {
            // The log keeps all that was committed; the next round tries again.
            DatabaseLog.CheckpointFailed(_log, exception, _path);
        }
    }

    private long LogLength()
    {
        var log = new FileInfo(_path + "-wal");
        return log.Exists ? log.Length : 0;
    }

    private string Run(string mode)
    {
        _connection ??= _open();
        using var command = _connection.CreateCommand();
        command.CommandText = $"PRAGMA wal_checkpoint({mode})";
        command.ExecuteNonQuery();
        _copiedAt = _time.GetTimestamp();
        return mode;
    }
}
