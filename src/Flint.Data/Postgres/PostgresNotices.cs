using Flint.Data.Hosting;
using Flint.Data.Queue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace Flint.Data.Postgres;

/// <summary>
/// Notices between servers by LISTEN and NOTIFY. They are sent on the pool's connections and heard on one of its own, which must prove at start and every minute that what is sent
/// arrives: poolers and standbys take LISTEN and drop it silently. Begins with the first subscription, or the first notice; ended by disposal.
/// </summary>
internal sealed class PostgresNotices : IAsyncDisposable
{
    private const string Channel = "flint_queue";

    private readonly PostgresDatabase _database;
    private readonly PostgresNoticeOptions _options;
    private readonly string _connectionString;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly string _origin = NoticeText.NewOrigin();
    private readonly NoticeSender _sender;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _lock = new();
    private Task? _listening;
    // Written by the listening loop and, through it, by the connection's notifications; nobody else.
    private string? _heard;
    private bool _lastSendFailed;

    public PostgresNotices(PostgresDatabase database, DatabaseOptions options, PostgresNoticeOptions timing, TimeProvider time, ILoggerFactory loggers)
    {
        _database = database;
        _options = timing;
        _time = time;
        _log = loggers.CreateLogger<PostgresNotices>();
        _sender = new NoticeSender(SendAsync, time);
        Hub = new QueueNotices(Start, _sender.Add);
        var builder = new NpgsqlConnectionStringBuilder(string.IsNullOrWhiteSpace(options.ListenConnectionString) ? options.ConnectionString : options.ListenConnectionString)
        {
            Pooling = false,
            ApplicationName = "flint-listen",
            TcpKeepAlive = true,
        };
        _connectionString = builder.ToString();
    }

    public QueueNotices Hub { get; }

    public async ValueTask DisposeAsync()
    {
        Task? listening;
        lock (_lock)
        {
            _stopping.Cancel();
            listening = _listening;
        }

        if (listening is not null)
        {
            await listening;
        }

        await _sender.DisposeAsync();
        _stopping.Dispose();
    }

    private void Start()
    {
        lock (_lock)
        {
            if (_listening is null && !_stopping.IsCancellationRequested)
            {
                Hub.Report("Not proved yet.");
                _listening = Task.Run(() => ListenAsync(_stopping.Token));
            }
        }
    }

    private async Task ListenAsync(CancellationToken stopping)
    {
        for (var failures = 0; ; failures++)
        {
            try
            {
                await SessionAsync(() => failures = 0, stopping);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                // The loop's boundary: whatever ends a session, another is tried.
                Failed(PostgresFault.Translate(exception, _database.Name).Message);
            }

            try
            {
                await Task.Delay(Backoff(failures), _time, stopping);
            }
            catch (OperationCanceledException)
            {
                return;
            }
        }
    }

    /// <summary>Listens until something fails; each time that it proves itself, <paramref name="proved"/> is called.</summary>
    private async Task SessionAsync(Action proved, CancellationToken stopping)
    {
        await using var connection = new NpgsqlConnection(_connectionString);
        connection.Notification += (_, notification) => Heard(notification.Payload);
        await connection.OpenAsync(stopping);
        await using (var listen = new NpgsqlCommand($"LISTEN {Channel}", connection))
        {
            await listen.ExecuteNonQueryAsync(stopping);
        }

        while (true)
        {
            await ProveAsync(connection, stopping);
            proved();
            Proved();
            var from = _time.GetTimestamp();
            while (_options.Interval - _time.GetElapsedTime(from) is { Ticks: > 0 } left)
            {
                await connection.WaitAsync(left, stopping);
            }
        }
    }

    private async Task ProveAsync(NpgsqlConnection connection, CancellationToken stopping)
    {
        var nonce = Guid.NewGuid().ToString("N");
        await NotifyAsync([NoticeText.OfProof(_origin, nonce)], stopping);
        var from = _time.GetTimestamp();
        while (_heard != nonce)
        {
            if (_options.Patience - _time.GetElapsedTime(from) is not { Ticks: > 0 } left)
            {
                throw new DatabaseException(
                    "What is sent by NOTIFY over Flint:Database:ConnectionString is not heard. A pooler (unless it pools by session) or a standby drops LISTEN: "
                    + "name a direct connection to the primary's database in Flint:Database:ListenConnectionString.");
            }

            await connection.WaitAsync(left, stopping);
        }
    }

    private void Heard(string text)
    {
        if (NoticeText.ProofIn(text, _origin) is { } nonce)
        {
            _heard = nonce;
        }
        else if (NoticeText.Parse(text, _origin) is { Many: true } many)
        {
            Hub.Receive(many.Kind, []);
            Hub.Miss(many.Kind);
        }
        else if (NoticeText.Parse(text, _origin) is { } message)
        {
            Hub.Receive(message.Kind, message.Ids);
        }
    }

    private async Task<bool> SendAsync(IReadOnlyList<NoticeMessage> messages, CancellationToken stopping)
    {
        try
        {
            await NotifyAsync([.. messages.Select(message => NoticeText.Of(_origin, message))], stopping);
            _lastSendFailed = false;
            return true;
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            if (!_lastSendFailed)
            {
                DatabaseLog.NoticeNotSent(_log, exception);
            }

            _lastSendFailed = true;
            return false;
        }
    }

    /// <summary>Not tried again: a notice that is late is worth nothing.</summary>
    private async Task NotifyAsync(string[] texts, CancellationToken stopping)
    {
        await using var connection = await _database.DataSource.OpenConnectionAsync(stopping);
        await using var command = new NpgsqlCommand("SELECT count(pg_notify($1, n)) FROM unnest($2) n", connection);
        command.Parameters.Text(Channel).Value(texts, NpgsqlTypes.NpgsqlDbType.Array | NpgsqlTypes.NpgsqlDbType.Text);
        await command.ExecuteScalarAsync(stopping);
    }

    private void Proved()
    {
        if (!Hub.Healthy)
        {
            DatabaseLog.NoticesWork(_log);
        }

        Hub.Report(null);
    }

    private void Failed(string problem)
    {
        if (Hub.Problem != problem)
        {
            DatabaseLog.NoticesFailed(_log, problem);
        }

        Hub.Report(problem);
    }

    /// <summary>Doubling, with a jitter of a half, so that servers do not come back in step.</summary>
    private TimeSpan Backoff(int failures)
    {
        var most = Math.Min(_options.LongestBackoff.Ticks, _options.FirstBackoff.Ticks << Math.Min(failures, 20));
        return TimeSpan.FromTicks((most / 2) + Random.Shared.NextInt64((most / 2) + 1));
    }
}

/// <summary>When the listening connection proves itself and comes back; tests are less patient.</summary>
internal sealed record PostgresNoticeOptions
{
    /// <summary>Between proofs.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>For a proof to arrive.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(10);

    public TimeSpan FirstBackoff { get; init; } = TimeSpan.FromMilliseconds(500);

    public TimeSpan LongestBackoff { get; init; } = TimeSpan.FromSeconds(30);
}
