using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>A job with all that is stored of it.</summary>
internal sealed record JobDetail(InvocationRow Row, QueuedWork Work, ReadOnlyMemory<byte>? Source, ReadOnlyMemory<byte>? Args);

/// <summary>What became of a submission; exactly one is set.</summary>
/// <param name="Added">It is in the queue.</param>
/// <param name="Replayed">Its idempotency key stands for this earlier one.</param>
internal readonly record struct SubmitAnswer(JobSubmission? Added, JobDetail? Replayed);

/// <summary>Jobs: submit, read, list, cancel, run again. Thread-safe.</summary>
internal sealed class JobService(
    JobRules rules, JobRequestReader reader, QueueWriter writer, QueueRoom room, IQueueStore queue, IInvocationStore invocations, FinishWaits waits, QueueNotices notices,
    InvocationIds ids, TimeProvider time)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(500);

    /// <summary>Commits the job, or finds the one that its idempotency key stands for. Throws <see cref="RefusedException"/>.</summary>
    public async ValueTask<SubmitAnswer> SubmitAsync(string tenantId, JobRequest request, CancellationToken cancellationToken)
    {
        var submission = await MakeAsync(tenantId, request, cancellationToken).ConfigureAwait(false);
        await room.TakeAsync(tenantId, 1, cancellationToken).ConfigureAwait(false);
        var result = await writer.EnqueueAsync(submission.Entry, cancellationToken).ConfigureAwait(false);
        return result.Outcome switch
        {
            EnqueueOutcome.Added => new SubmitAnswer(submission, null),
            EnqueueOutcome.Known => new SubmitAnswer(null, await GetAsync(tenantId, result.Id, cancellationToken).ConfigureAwait(false)),
            _ => throw new RefusedException("idempotency_conflict", $"The idempotency key was given with another request before; it stands for the job {result.Id}.", field: "idempotencyKey"),
        };
    }

    /// <summary>Commits all jobs in one transaction; refuses all when one is wrong, naming it. Results are in the order of the requests.</summary>
    public async Task<IReadOnlyList<EnqueueResult>> SubmitManyAsync(string tenantId, IReadOnlyList<JobRequest> requests, CancellationToken cancellationToken)
    {
        var entries = new List<QueueEntry>(requests.Count);
        foreach (var request in requests)
        {
            try
            {
                entries.Add((await MakeAsync(tenantId, request, cancellationToken).ConfigureAwait(false)).Entry);
            }
            catch (RefusedException refused)
            {
                throw JobRequestReader.Within(refused, entries.Count);
            }
        }

        await room.TakeAsync(tenantId, entries.Count, cancellationToken).ConfigureAwait(false);
        return await writer.EnqueueAsync(entries, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Submits what a job was submitted with once more, with what the body changes; under no idempotency key but the body's.</summary>
    public async Task<SubmitAnswer> RerunAsync(string tenantId, string id, ReadOnlyMemory<byte> changes, string? idempotencyKey, CancellationToken cancellationToken)
    {
        await GetRowAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        var stored = await queue.WorkAsync(tenantId, id, cancellationToken).ConfigureAwait(false) ?? throw NotFound();
        var request = JobRequest.Of(stored);
        if (!changes.IsEmpty)
        {
            reader.ReadInto(request, changes);
        }

        if (request.Args is null && stored.Payload is null)
        {
            throw new RefusedException("missing_field", "History did not keep the job's arguments, so they must be given again.", field: "args");
        }

        SetKey(request, idempotencyKey);
        return await SubmitAsync(tenantId, request, cancellationToken).ConfigureAwait(false);
    }

    public async Task<JobDetail> GetAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        var row = await GetRowAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        var stored = await queue.WorkAsync(tenantId, id, cancellationToken).ConfigureAwait(false) ?? throw NotFound();
        return new JobDetail(row, QueuedWork.Parse(stored.WorkJson), stored.Source, row.Payload ?? stored.Payload);
    }

    /// <summary>The record alone.</summary>
    public async Task<InvocationRow> GetRowAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        var row = InvocationHistory.IsId(id) ? await invocations.GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false) : null;
        return row is { Mode: JobRules.Mode } ? row : throw NotFound();
    }

    /// <summary>The job when it is finished, or as it is when the time is over.</summary>
    public async Task<JobDetail> WaitAsync(string tenantId, string id, TimeSpan timeout, CancellationToken stopping, CancellationToken cancellationToken)
    {
        using var registration = waits.Register(id);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stopping, cancellationToken);
        var begun = time.GetTimestamp();
        var heard = false;
        while (true)
        {
            var row = await GetRowAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
            var left = timeout - time.GetElapsedTime(begun);
            if (IsFinished(row) || left <= TimeSpan.Zero || stopping.IsCancellationRequested)
            {
                return await GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
            }

            // Polling as well: a notice can be lost, and other servers' need not come at all.
            var pause = Task.Delay(left < Poll ? left : Poll, time, either.Token);
            await (heard ? Task.WhenAny(pause) : Task.WhenAny(pause, registration.Told)).ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
            heard = registration.Told.IsCompleted;
        }
    }

    /// <summary>Cancels what is not finished. Throws <see cref="RefusedException"/> (409, with the status) for what is.</summary>
    public async Task<JobDetail> CancelAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        await GetRowAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        var worker = await queue.CancelAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        var detail = await GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
        if (worker is null)
        {
            throw new RefusedException("job_finished", $"The job is {detail.Row.Status} already.", field: "id") { Status = detail.Row.Status };
        }

        notices.Cancel(worker, tenantId, id);
        notices.Finished([id]);
        return detail;
    }

    /// <summary>The header's key, which must not say anything else than the body's.</summary>
    public static void SetKey(JobRequest request, string? header)
    {
        if (header is not null && request.IdempotencyKey is { } given && given != header)
        {
            throw new RefusedException("invalid_field", "The header Idempotency-Key and the member idempotencyKey differ.", field: "idempotencyKey");
        }

        request.IdempotencyKey ??= header;
    }

    private ValueTask<JobSubmission> MakeAsync(string tenantId, JobRequest request, CancellationToken cancellationToken)
    {
        var now = time.Now();
        return rules.MakeAsync(tenantId, ids.Next(now), request, now, cancellationToken);
    }

    private static bool IsFinished(InvocationRow row) => row.Status is "COMPLETED" or "FAILED" or "CANCELLED";

    private static RefusedException NotFound() => new("job_not_found", "There is no such job, or retention has removed it.", field: "id");
}
