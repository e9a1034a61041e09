using System.Globalization;
using System.Text;
using System.Text.Json;
using Flint.Contracts;
using Flint.Contracts.Jobs;
using Flint.Contracts.Schedules;
using Flint.Data.Model;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Queue.Schedules;

/// <summary>Checks schedules and writes them into entities. All refusals name the member, the limit and its knob.</summary>
internal sealed class ScheduleRules(ScheduleOptions options, QueueOptions queue)
{
    public ScheduleEntity Create(CreateScheduleRequest request, string tenantId, DateTimeOffset now)
    {
        var schedule = new ScheduleEntity
        {
            TenantId = tenantId,
            Id = Guid.CreateVersion7(now).ToString("d"),
            Name = Names.CheckSchedule(request.Name),
            TimeZone = "UTC",
            MissedRuns = "skip",
            Enabled = true,
            RevisionId = "",
            CreatedAt = now,
        };
        Apply(schedule, new UpdateScheduleRequest
        {
            Description = request.Description,
            Expression = request.Expression,
            RateMs = request.RateMs,
            TimeZone = request.TimeZone,
            Function = request.Function,
            Qualifier = request.Qualifier,
            Payload = request.Payload,
            Job = request.Job,
            Enabled = request.Enabled,
            MissedRuns = request.MissedRuns,
        }, now);
        return (schedule.FunctionName ?? schedule.JobJson) is null ? throw OneOf("function", "job")
            : schedule.Expression is null && schedule.RateMs is null ? throw OneOf("expression", "rateMs")
            : schedule;
    }

    /// <summary>Changes what the request gives. Pure: safe to run again within a retried transaction.</summary>
    public void Apply(ScheduleEntity schedule, UpdateScheduleRequest request, DateTimeOffset now)
    {
        ApplyTarget(schedule, request);
        schedule.Description = request.Description is { } description ? FunctionRules.Description(description) : schedule.Description;
        schedule.MissedRuns = request.MissedRuns switch
        {
            null => schedule.MissedRuns,
            "skip" or "one" or "all" => request.MissedRuns,
            _ => throw new RefusedException("invalid_field", "missedRuns must be one of: skip, one, all.", field: "missedRuns", limit: "skip, one, all"),
        };
        var fresh = schedule.RevisionId.Length == 0;
        if (fresh || (request.Expression ?? request.TimeZone) is not null || request.RateMs is not null || (request.Enabled ?? schedule.Enabled) != schedule.Enabled)
        {
            ApplyTimes(schedule, request, now);
        }

        schedule.RevisionId = Guid.NewGuid().ToString("d");
        schedule.UpdatedAt = now;
    }

    private void ApplyTimes(ScheduleEntity schedule, UpdateScheduleRequest request, DateTimeOffset now)
    {
        if (request.Expression is not null && request.RateMs is not null)
        {
            throw OneOf("expression", "rateMs");
        }

        if ((request.Expression is not null) || (request.RateMs is not null))
        {
            schedule.Expression = request.Expression;
            schedule.RateMs = request.RateMs is { } rate ? Recurrence.CheckRate(rate, options.MinRateMs) : null;
        }

        schedule.TimeZone = request.TimeZone is { } zone ? CronSchedule.Zone(zone).Id : schedule.TimeZone;
        schedule.Enabled = request.Enabled ?? schedule.Enabled;
        if (schedule.Expression is not null || schedule.RateMs is not null)
        {
            // Also of one that is disabled: what it says is right.
            var next = new Recurrence(schedule.Expression, schedule.RateMs, schedule.TimeZone, now).Next(now);
            schedule.NextAt = schedule.Enabled ? next : null;
        }
    }

    private void ApplyTarget(ScheduleEntity schedule, UpdateScheduleRequest request)
    {
        if (request.Function is not null && request.Job is not null)
        {
            throw OneOf("function", "job");
        }

        if (request.Job is { } job)
        {
            (schedule.FunctionName, schedule.Qualifier, schedule.PayloadJson, schedule.JobJson) = (null, null, null, Job(job));
        }

        if (request.Function is { } function)
        {
            (schedule.FunctionName, schedule.Qualifier, schedule.JobJson) = (Function(function), null, null);
        }

        if (request.Qualifier is { } qualifier)
        {
            Names.CheckQualifier(qualifier);
            schedule.Qualifier = schedule.FunctionName is null ? throw OnlyOfFunctions("qualifier") : qualifier;
        }

        if (request.Payload is { } payload)
        {
            schedule.PayloadJson = schedule.FunctionName is null ? throw OnlyOfFunctions("payload") : Payload(payload);
        }
    }

    /// <summary>All else is checked by the jobs' own rules.</summary>
    private static string Job(SubmitJobRequest job)
    {
        var wrong = job.DelayMs is not null ? "delayMs" : job.RunAt is not null ? "runAt" : job.IdempotencyKey is not null ? "idempotencyKey" : null;
        if (wrong is not null)
        {
            throw new RefusedException("invalid_field", "When a scheduled job runs, and that it runs once, is the schedule's matter.", field: "job." + wrong);
        }

        // One is the schedule's own.
        return job.Tags is { Count: >= JobRules.MaxTags }
            ? throw new RefusedException("out_of_range", $"A scheduled job has at most {JobRules.MaxTags - 1} tags.", field: "job.tags", limit: $"{JobRules.MaxTags - 1} tags")
            : JsonSerializer.Serialize(job, FlintJson.Default.SubmitJobRequest);
    }

    private string Payload(JsonElement payload)
    {
        var json = payload.GetRawText();
        return Encoding.UTF8.GetByteCount(json) <= queue.MaxAsyncPayloadBytes
            ? json
            : throw new RefusedException("payload_too_large", string.Create(CultureInfo.InvariantCulture, $"The payload has more than {queue.MaxAsyncPayloadBytes} bytes."),
                field: "payload", limit: string.Create(CultureInfo.InvariantCulture, $"{queue.MaxAsyncPayloadBytes} bytes"), knob: "Flint:Queue:MaxAsyncPayloadBytes");
    }

    private static string Function(string name)
    {
        try
        {
            return Names.CheckFunction(name);
        }
        catch (RefusedException refused)
        {
            throw new RefusedException(refused.Code, refused.Message, field: "function", limit: refused.Limit);
        }
    }

    private static RefusedException OneOf(string one, string other) => new("invalid_field", $"A schedule has exactly one of {one} and {other}.", field: one);

    private static RefusedException OnlyOfFunctions(string field) => new("invalid_field", $"{field} goes with a function; a job says all of it itself.", field: field);
}
