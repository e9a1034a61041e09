using Microsoft.Extensions.Logging;

namespace Flint.Data;

internal static partial class DatabaseLog
{
    [LoggerMessage(3001, LogLevel.Information, "Opened {Database}, {Migrations} migrations run")]
    public static partial void Opened(ILogger logger, string database, int migrations);

    [LoggerMessage(3002, LogLevel.Warning, "Checkpoint of {Database} failed; its log grows until one succeeds")]
    public static partial void CheckpointFailed(ILogger logger, Exception exception, string database);

    [LoggerMessage(3003, LogLevel.Error, "Writing {Rows} history records failed (attempt {Attempt}); trying again in {DelayMs} ms")]
    public static partial void FlushFailed(ILogger logger, Exception exception, int rows, int attempt, double delayMs);

    [LoggerMessage(3004, LogLevel.Information, "Writing history records succeeds again after {Attempts} failed attempts")]
    public static partial void FlushRecovered(ILogger logger, int attempts);

    [LoggerMessage(3005, LogLevel.Critical, "{Rows} history records were not written before the server stopped and are lost")]
    public static partial void RecordsLost(ILogger logger, int rows);

    [LoggerMessage(3007, LogLevel.Error, "The database refuses the history record of invocation {InvocationId}; it is stored without payload, result, log and error")]
    public static partial void RecordRefused(ILogger logger, string invocationId);

    [LoggerMessage(3006, LogLevel.Warning, "The connection to PostgreSQL broke; trying again (attempt {Attempt})")]
    public static partial void Reconnecting(ILogger logger, Exception exception, int attempt);

    [LoggerMessage(3008, LogLevel.Debug, "PostgreSQL undid a transaction that conflicted with another; trying again (attempt {Attempt})")]
    public static partial void Conflict(ILogger logger, Exception exception, int attempt);

    [LoggerMessage(3012, LogLevel.Warning, "The queue's table could not be vacuumed; claims slow down until PostgreSQL's own vacuum comes")]
    public static partial void VacuumFailed(ILogger logger, Exception exception);

    [LoggerMessage(3009, LogLevel.Warning, "Notices between servers do not work; polling takes over: {Problem}")]
    public static partial void NoticesFailed(ILogger logger, string problem);

    [LoggerMessage(3010, LogLevel.Information, "Notices between servers work")]
    public static partial void NoticesWork(ILogger logger);

    [LoggerMessage(3011, LogLevel.Warning, "A notice could not be sent; other servers find out by polling")]
    public static partial void NoticeNotSent(ILogger logger, Exception exception);
}
