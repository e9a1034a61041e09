using System.Data.Common;
using System.Text.Json;
using Microsoft.Extensions.Logging;

namespace Flint.Data.Invocations;

/// <summary>
/// Brings the journal's batches into the store. A store that cannot work is tried again for ever; one that works and refuses a batch is given its rows
/// one by one, and a row that it refuses alone is stored without what it carried. Used by the journal's one flusher.
/// </summary>
internal sealed class JournalWriter(IInvocationStore store, TimeProvider time, ILogger log)
{
    // A refusal is certain after the third time; a row alone has been refused with its batch already.
    private const int BatchRefusals = 3;
    private const int RowRefusals = 2;

    private static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LastRetry = TimeSpan.FromSeconds(5);

    private volatile string? _lastError;

    private enum Outcome
    {
        Written,
        Refused,
        GivenUp,
    }

    /// <summary>Why the last attempt failed; null when it did not. Any thread may read it.</summary>
    public string? LastError => _lastError;

    /// <summary>Returns how many rows, from the first, the store has. Fewer than there are: the time for trying is over.</summary>
    public async Task<int> WriteAsync(IReadOnlyList<InvocationRow> rows, CancellationToken givingUp)
    {
        switch (await TryAsync(rows, BatchRefusals, givingUp))
        {
            case Outcome.Written:
                return rows.Count;
            case Outcome.GivenUp:
                return 0;
        }

        for (var i = 0; i < rows.Count; i++)
        {
            if (!await WriteAloneAsync(rows[i], givingUp))
            {
                return i;
            }
        }

        return rows.Count;
    }

    /// <summary>
    /// What is kept of a row that the store refuses: what Flint itself made and measured. Payload, result, log and error, which the function or its caller
    /// made, are gone, and the error says so.
    /// </summary>
    public static InvocationRow WithoutRefused(InvocationRow row) => new()
    {
        TenantId = row.TenantId,
        Id = row.Id,
        FunctionId = row.FunctionId,
        FunctionName = row.FunctionName,
        Version = row.Version,
        Mode = row.Mode,
        Status = row.Status,
        ErrorType = row.ErrorType,
        ErrorJson = $$"""
            {"type":"{{JsonEncodedText.Encode(row.ErrorType ?? "RecordRefused")}}","name":"RecordRefused","message":"The database refused this record: its payload, result, log and error are not stored. The server's log has the reason.","stackTrace":[]}
            """,
        CreatedAt = row.CreatedAt,
        StartedAt = row.StartedAt,
        CompletedAt = row.CompletedAt,
        DurationMs = row.DurationMs,
        InitDurationMs = row.InitDurationMs,
        BilledMs = row.BilledMs,
        MemoryMb = row.MemoryMb,
        PeakMemoryBytes = row.PeakMemoryBytes,
        ColdStart = row.ColdStart,
    };

    private async Task<bool> WriteAloneAsync(InvocationRow row, CancellationToken givingUp)
    {
        while (true)
        {
            var outcome = await TryAsync([row], RowRefusals, givingUp);
            if (outcome == Outcome.Refused)
            {
                outcome = await TryAsync([WithoutRefused(row)], 1, givingUp);
                if (outcome == Outcome.Written)
                {
                    DatabaseLog.RecordRefused(log, row.Id);
                }
            }

            if (outcome != Outcome.Refused)
            {
                return outcome == Outcome.Written;
            }

            // A store that refuses even that refuses everything: the row is not at fault, and is kept whole.
            if (!await DelayAsync(LastRetry, givingUp))
            {
                return false;
            }
        }
    }

    private async Task<Outcome> TryAsync(IReadOnlyList<InvocationRow> rows, int refusals, CancellationToken givingUp)
    {
        var delay = FirstRetry;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                await store.AppendAsync(rows, givingUp);
                _lastError = null;
                if (attempt > 1)
                {
                    DatabaseLog.FlushRecovered(log, attempt - 1);
                }

                return Outcome.Written;
            }
            catch (Exception exception)
            {
                _lastError = exception.Message;

                // Whatever it is, the rows are kept: the operator sees the reason, callers the full buffer.
                var over = givingUp.IsCancellationRequested;
                var refused = !over && IsRefusal(exception) && --refusals <= 0;
                DatabaseLog.FlushFailed(log, exception, rows.Count, attempt, over || refused ? 0 : delay.TotalMilliseconds);
                if (over || refused)
                {
                    return over ? Outcome.GivenUp : Outcome.Refused;
                }
            }

            if (!await DelayAsync(delay, givingUp))
            {
                return Outcome.GivenUp;
            }

            delay = delay * 2 < LastRetry ? delay * 2 : LastRetry;
        }
    }

    /// <summary>True when the store was there and said no to what it was given; false for all that may pass by itself.</summary>
    private static bool IsRefusal(Exception exception) => exception
        is not (DatabaseException or IOException or TimeoutException or OperationCanceledException or ObjectDisposedException or OutOfMemoryException)
        and not DbException { IsTransient: true };

    private async Task<bool> DelayAsync(TimeSpan delay, CancellationToken givingUp)
    {
        try
        {
            await Task.Delay(delay, time, givingUp);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
