using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Flint.Contracts.Invocations;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Queue.Functions;

/// <summary>What a caller asks of an asynchronous invocation, beside the event. As the request has it.</summary>
internal sealed record AsyncAsk(string? DelayMs, string? Priority, string? IdempotencyKey);

/// <summary>What became of it.</summary>
/// <param name="Invocation">The one that was queued, or the earlier one that the idempotency key stands for.</param>
/// <param name="Replayed">It is the earlier one.</param>
internal readonly record struct AsyncAnswer(AcceptedInvocation Invocation, bool Replayed);

/// <summary>Asynchronous invocations of functions: check, commit, answer; wait for and cancel what was queued. Thread-safe.</summary>
internal sealed class AsyncInvocations(
    QueueWriter writer, QueueRoom room, IQueueStore queue, InvocationHistory history, FinishWaits waits, InvocationIds ids, LimitOptions limits, JobOptions jobs, TimeProvider time)
{
    private const int MaxPriority = 100;
    private static readonly byte[] EmptyEvent = "{}"u8.ToArray();
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(500);

    /// <summary>Commits the invocation. Throws <see cref="RefusedException"/>.</summary>
    public async Task<AsyncAnswer> EnqueueAsync(CatalogEntry function, string? qualifier, byte[] payload, AsyncAsk ask, CancellationToken cancellationToken)
    {
        payload = payload.Length == 0 ? EmptyEvent : payload;
        if (JsonCheck.Fault(payload, limits.MaxJsonDepth) is { } fault)
        {
            throw new RefusedException("invalid_payload", $"The event cannot be taken: {fault}.", field: "body",
                limit: $"{limits.MaxJsonDepth} levels", knob: "Flint:Limits:MaxJsonDepth");
        }

        var entry = Make(function, qualifier, payload, ask);
        var tenantId = function.Spec.TenantId;
        await room.TakeAsync(tenantId, 1, cancellationToken).ConfigureAwait(false);
        var result = await writer.EnqueueAsync(entry, cancellationToken).ConfigureAwait(false);
        return result.Outcome switch
        {
            EnqueueOutcome.Added => new AsyncAnswer(Accepted(entry.Row), false),
            EnqueueOutcome.Known => new AsyncAnswer(Accepted(await history.GetAsync(tenantId, result.Id, cancellationToken).ConfigureAwait(false)), true),
            _ => throw new RefusedException("idempotency_conflict", $"The idempotency key was given with another request before; it stands for {result.Id}.", field: "Idempotency-Key"),
        };
    }

    /// <summary>The record when it is finished, or as it is when the time is over.</summary>
    public async Task<InvocationRow> WaitAsync(string tenantId, string id, TimeSpan timeout, CancellationToken stopping, CancellationToken cancellationToken)
    {
        using var registration = waits.Register(id);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stopping, cancellationToken);
        var begun = time.GetTimestamp();
        var heard = false;
        while (true)
        {
            var row = await history.GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
            var left = timeout - time.GetElapsedTime(begun);
            if (row.Status is not ("PENDING" or "RUNNING") || left <= TimeSpan.Zero || stopping.IsCancellationRequested)
            {
                return row;
            }

            // Polling as well: a notice can be lost, and other servers' need not come at all.
            var pause = Task.Delay(left < Poll ? left : Poll, time, either.Token);
            await (heard ? Task.WhenAny(pause) : Task.WhenAny(pause, registration.Told)).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            heard = registration.Told.IsCompleted;
        }
    }

    /// <summary>Cancels what is not finished. Throws <see cref="RefusedException"/> (409, with the status) for what is.</summary>
    public async Task<InvocationRow> CancelAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        await history.GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        var worker = await queue.CancelAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        var row = await history.GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        if (worker is null)
        {
            throw new RefusedException("invocation_finished", $"The invocation is {row.Status} already.", field: "id") { Status = row.Status };
        }

        waits.Finished(id);
        return row;
    }

    /// <summary>What was queued, as its caller is told.</summary>
    public static AcceptedInvocation Accepted(InvocationRow row) => new()
    {
        Id = row.Id,
        Function = row.FunctionName.Length == 0 ? null : row.FunctionName,
        Version = row.FunctionName.Length == 0 ? null : row.Version,
        Qualifier = row.Qualifier,
        Mode = row.Mode,
        Status = row.Status,
        CreatedAt = row.CreatedAt,
    };

    private QueueEntry Make(CatalogEntry function, string? qualifier, byte[] payload, AsyncAsk ask)
    {
        var now = time.GetUtcNow();
        var entry = FunctionEntries.Make(function, qualifier, ids.Next(now), now, payload);
        var delay = Number("delayMs", ask.DelayMs, 0, jobs.MaxDelayMs, "Flint:Jobs:MaxDelayMs");
        var priority = (int)Number("priority", ask.Priority, -MaxPriority, MaxPriority, null);
        if (delay > 0)
        {
            // Its age counts from when it is due.
            var work = QueuedWork.Parse(entry.WorkJson);
            entry = entry with { Delay = TimeSpan.FromMilliseconds(delay), WorkJson = (work with { Retry = work.Retry with { MaxAgeMs = work.Retry.MaxAgeMs + delay } }).ToJson() };
        }

        return ask.IdempotencyKey is not { } key
            ? entry with { Priority = priority }
            : entry with { Priority = priority, IdempotencyKey = Key(key), Fingerprint = Fingerprint(function.Spec.Name, qualifier, delay, priority, payload) };
    }

    private static string Key(string key) =>
        key.Length is > 0 and <= JobRules.MaxIdempotencyKeyLength && key.All(c => c is > ' ' and <= '~')
            ? key
            : throw new RefusedException("invalid_field", $"An idempotency key has 1 to {JobRules.MaxIdempotencyKeyLength} printable characters, without spaces.", field: "Idempotency-Key",
                limit: $"{JobRules.MaxIdempotencyKeyLength} characters");

    private static byte[] Fingerprint(string name, string? qualifier, long delay, int priority, byte[] payload)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"async\n{name}\n{qualifier}\n{delay}\n{priority}\n")));
        hash.AppendData(payload);
        return hash.GetHashAndReset();
    }

    private static long Number(string field, string? text, long min, long max, string? knob)
    {
        if (string.IsNullOrEmpty(text))
        {
            return 0;
        }

        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) && value >= min && value <= max
            ? value
            : throw new RefusedException("out_of_range", string.Create(CultureInfo.InvariantCulture, $"{field} must be a whole number, {min} to {max}."), field: field,
                limit: string.Create(CultureInfo.InvariantCulture, $"{min} to {max}"), knob: knob);
    }
}
