using System.Buffers;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Flint.Contracts;
using Flint.Data.Model;
using Flint.Data.Queue;
using Flint.Server.Queue.Functions;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Queue.Schedules;

/// <summary>What schedules run: checks it, and makes the queue entries of it. Thread-safe.</summary>
internal sealed class ScheduleTargets(FunctionCatalog catalog, JobRules jobs, JobRequestReader reader, InvocationIds ids, TimeProvider time)
{
    /// <summary>Longer than servers are down, so that a run that was enqueued just before is known when one comes back.</summary>
    private static readonly TimeSpan KeyLifetime = TimeSpan.FromDays(30);

    /// <summary>Throws <see cref="RefusedException"/> when it could not be run now.</summary>
    public async Task CheckAsync(ScheduleEntity schedule, CancellationToken cancellationToken)
    {
        if (schedule.JobJson is null)
        {
            await catalog.ResolveAsync(schedule.TenantId, schedule.FunctionName!, schedule.Qualifier, cancellationToken).ConfigureAwait(false);
            return;
        }

        try
        {
            await JobAsync(schedule, time.GetUtcNow(), cancellationToken).ConfigureAwait(false);
        }
        catch (RefusedException refused)
        {
            throw new RefusedException(refused.Code, refused.Message, refused.Entry, refused.Field is { } field ? "job." + field : "job", refused.Limit, refused.Knob);
        }
    }

    /// <summary>One run, and why it cannot succeed as things are; no entry when not even a record of that can be made.</summary>
    /// <param name="schedule">What is run.</param>
    /// <param name="due">The due time, which makes the run the only one for it; null: somebody wants one more.</param>
    public async Task<(QueueEntry? Entry, string? Error)> MakeAsync(ScheduleEntity schedule, DateTimeOffset? due, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var (made, error) = schedule.JobJson is null
            ? await FunctionAsync(schedule, due ?? now, now, cancellationToken).ConfigureAwait(false)
            : await TryJobAsync(schedule, now, cancellationToken).ConfigureAwait(false);
        if (made is null)
        {
            return (null, error);
        }

        var entry = made with { Tags = [.. made.Tags, Tag(schedule.Name)] };
        if (due is not { } moment)
        {
            return (entry, error);
        }

        var key = string.Create(CultureInfo.InvariantCulture, $"schedule:{schedule.Id}:{moment.ToUnixTimeMilliseconds()}");
        return (entry with
        {
            IdempotencyKey = key,
            IdempotencyLifetime = KeyLifetime,
            // The key says all: a schedule that is changed while it is due still runs once.
            Fingerprint = SHA256.HashData(Encoding.UTF8.GetBytes(key)),
        }, error);
    }

    /// <summary>Finds what a schedule ran.</summary>
    public static string Tag(string schedule) => "schedule:" + schedule;

    private async Task<(QueueEntry? Entry, string? Error)> FunctionAsync(ScheduleEntity schedule, DateTimeOffset due, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var function = new FunctionWork(schedule.FunctionName!, schedule.Qualifier);
        var payload = schedule.PayloadJson is { } json ? Encoding.UTF8.GetBytes(json) : Event(schedule.Name, due);
        try
        {
            var entry = await catalog.ResolveAsync(schedule.TenantId, function.Name, function.Qualifier, cancellationToken).ConfigureAwait(false);
            return (FunctionEntries.Make(entry, function.Qualifier, ids.Next(now), now, payload), null);
        }
        catch (RefusedException refused)
        {
            return (FunctionEntries.MakeUnresolved(schedule.TenantId, function, ids.Next(now), now, payload), refused.Message);
        }
    }

    private async Task<(QueueEntry? Entry, string? Error)> TryJobAsync(ScheduleEntity schedule, DateTimeOffset now, CancellationToken cancellationToken)
    {
        try
        {
            return (await JobAsync(schedule, now, cancellationToken).ConfigureAwait(false), null);
        }
        catch (RefusedException refused)
        {
            // The host has changed, or its limits.
            return (null, refused.Message);
        }
    }

    private async Task<QueueEntry> JobAsync(ScheduleEntity schedule, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var request = reader.Read(Encoding.UTF8.GetBytes(schedule.JobJson!));
        return (await jobs.MakeAsync(schedule.TenantId, ids.Next(now), request, Times.ToMilliseconds(now), cancellationToken).ConfigureAwait(false)).Entry;
    }

    private static byte[] Event(string schedule, DateTimeOffset due)
    {
        var bytes = new ArrayBufferWriter<byte>(128);
        using var json = new Utf8JsonWriter(bytes);
        json.WriteStartObject();
        json.WriteString("schedule"u8, schedule);
        json.WritePropertyName("dueAt"u8);
        Timestamp.Write(json, due);
        json.WriteEndObject();
        json.Flush();
        return bytes.WrittenSpan.ToArray();
    }
}
