using System.Text;
using System.Text.Json;
using Flint.Data.Invocations;
using Flint.Server.Api;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>Writes jobs (Contracts' JobRecord) straight from rows: arguments, results and errors are copied, never parsed into objects. Without their braces and without the result.</summary>
internal static class JobRecords
{
    private static readonly PackagesOptions AnySize = new() { MaxUnzippedBytes = long.MaxValue, MaxCompressionRatio = int.MaxValue };

    /// <summary>A job that was just taken: code and arguments as the body had them.</summary>
    public static void Write(Utf8JsonWriter json, JobSubmission submission)
    {
        var (row, request) = (submission.Entry.Row, submission.Request);
        WriteHead(json, row);
        if (!request.CodeJson.IsEmpty && request.Code is not null)
        {
            json.WritePropertyName("code"u8);
            json.WriteRawValue(request.CodeJson.Span, skipInputValidation: true);
        }
        else
        {
            WriteSource(json, submission.Entry.Source, submission.Work.Job!);
        }

        WriteArgs(json, row.Payload);
        WriteSettings(json, row, submission.Work);
        WriteTimes(json, row);
    }

    /// <summary>A job with all that is known of it, but the result.</summary>
    public static void Write(Utf8JsonWriter json, JobDetail detail)
    {
        var row = detail.Row;
        WriteHead(json, row);
        WriteSource(json, detail.Source, detail.Work.Job!);
        WriteArgs(json, detail.Args);
        WriteSettings(json, row, detail.Work);
        WriteTimes(json, row);
        WriteAttempts(json, row.AttemptsJson);
        WriteErrors(json, row);
        json.WriteString("logs"u8, UserLines(row.Log ?? ReadOnlyMemory<byte>.Empty));
        RecordWriter.WriteLogs(json, row, "logLines"u8);
        RecordWriter.WriteTruncated(json, row);
    }

    /// <summary>A job as lists show it.</summary>
    public static void WriteListed(Utf8JsonWriter json, InvocationRow row)
    {
        WriteHead(json, row);
        if (row.WorkJson is { } work)
        {
            WriteSettings(json, row, QueuedWork.Parse(work));
        }

        WriteTimes(json, row);
        WriteErrors(json, row);
    }

    private static void WriteHead(Utf8JsonWriter json, InvocationRow row)
    {
        json.WriteString("_id"u8, row.Id);
        json.WriteString("id"u8, row.Id);
        json.WriteString("status"u8, row.Status);
    }

    private static void WriteSource(Utf8JsonWriter json, ReadOnlyMemory<byte>? source, JobWork job)
    {
        if (source is not { IsEmpty: false } bytes)
        {
            return;
        }

        if (job.FileName is not null)
        {
            json.WriteString("code"u8, bytes.Span);
            return;
        }

        json.WriteStartArray("fileNames"u8);
        foreach (var entry in ZipDirectory.Read(bytes.Span, AnySize))
        {
            if (entry.Kind != ZipEntryKind.Directory)
            {
                json.WriteStringValue(entry.Path);
            }
        }

        json.WriteEndArray();
    }

    private static void WriteArgs(Utf8JsonWriter json, ReadOnlyMemory<byte>? args)
    {
        if (args is { IsEmpty: false } bytes)
        {
            json.WritePropertyName("args"u8);
            json.WriteRawValue(bytes.Span, skipInputValidation: true);
        }
    }

    private static void WriteSettings(Utf8JsonWriter json, InvocationRow row, QueuedWork work)
    {
        var job = work.Job!;
        json.WriteString("language"u8, Handlers.IsPython(job.Runtime) ? "python"u8 : "javascript"u8);
        json.WriteString("runtime"u8, job.Runtime);
        json.WriteString("handler"u8, job.Handler);
        json.WriteNumber("timeout"u8, job.TimeoutMs);
        json.WriteNumber("memoryMb"u8, job.MemoryMb);
        json.WriteNumber("cpus"u8, job.CpuMilli / 1000m);
        json.WriteString("network"u8, job.Network);
        json.WriteString("globals"u8, job.Globals);
        if (job.Environment is { } environment)
        {
            json.WriteStartObject("environment"u8);
            foreach (var (name, value) in environment)
            {
                json.WriteString(name, value);
            }

            json.WriteEndObject();
        }

        json.WriteNumber("priority"u8, job.Priority);
        if (row.Tags.Count > 0)
        {
            json.WriteStartArray("tags"u8);
            foreach (var tag in row.Tags)
            {
                json.WriteStringValue(tag);
            }

            json.WriteEndArray();
        }

        WriteQueueing(json, job, work.Retry);
    }

    private static void WriteQueueing(Utf8JsonWriter json, JobWork job, RetryRules retry)
    {
        json.WriteNumber("retries"u8, retry.Retries);
        if (retry.Retries > 0)
        {
            json.WriteStartObject("backoff"u8);
            json.WriteString("type"u8, retry.Backoff);
            json.WriteNumber("delayMs"u8, retry.DelayMs);
            json.WriteNumber("maxDelayMs"u8, retry.MaxDelayMs);
            json.WriteBoolean("jitter"u8, retry.Jitter);
            json.WriteEndObject();
        }

        if (job.TtlMs is { } ttl)
        {
            json.WriteNumber("ttlMs"u8, ttl);
        }

        if (job.ConcurrencyKey is { } key)
        {
            json.WriteString("concurrencyKey"u8, key);
            json.WriteNumber("concurrencyLimit"u8, job.ConcurrencyLimit ?? 1);
        }

        if (job is { RateStarts: { } starts, RatePeriodMs: { } period })
        {
            json.WriteStartObject("rateLimit"u8);
            json.WriteNumber("starts"u8, starts);
            json.WriteNumber("periodMs"u8, period);
            json.WriteEndObject();
        }
    }

    private static void WriteTimes(Utf8JsonWriter json, InvocationRow row)
    {
        RecordWriter.WriteTime(json, "createdAt"u8, row.CreatedAt);
        RecordWriter.WriteTime(json, "runAt"u8, row.Status == "PENDING" ? row.RunAt : null);
        RecordWriter.WriteTime(json, "startedAt"u8, row.StartedAt);
        RecordWriter.WriteTime(json, "completedAt"u8, row.CompletedAt);
        if (row.DurationMs is { } duration)
        {
            json.WriteNumber("executionTime"u8, duration);
        }

        RecordWriter.WritePeakMemory(json, row);
        if (row.Engine is not null)
        {
            json.WriteString("engine"u8, row.Engine);
        }

        RecordWriter.WriteUnenforced(json, row);
        if (row.WorkerId is not null)
        {
            json.WriteString("worker"u8, row.WorkerId);
        }

        json.WriteNumber("attemptCount"u8, row.Attempts);
    }

    public static void WriteAttempts(Utf8JsonWriter json, string? attempts)
    {
        json.WriteStartArray("attempts"u8);
        foreach (var note in attempts is null ? [] : JsonSerializer.Deserialize(attempts, QueuedWorkJson.Default.ListAttemptNote)!)
        {
            json.WriteStartObject();
            json.WriteNumber("number"u8, note.Number);
            RecordWriter.WriteTime(json, "startedAt"u8, note.StartedAt);
            RecordWriter.WriteTime(json, "completedAt"u8, note.CompletedAt);
            json.WriteString("status"u8, note.Status);
            WriteText(json, "errorType"u8, note.ErrorType);
            WriteText(json, "errorMessage"u8, note.ErrorMessage);
            WriteText(json, "worker"u8, note.Worker);
            if (note.DurationMs is { } duration)
            {
                json.WriteNumber("durationMs"u8, duration);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteText(Utf8JsonWriter json, ReadOnlySpan<byte> name, string? text)
    {
        if (text is not null)
        {
            json.WriteString(name, text);
        }
    }

    private static void WriteErrors(Utf8JsonWriter json, InvocationRow row)
    {
        if (row.ErrorJson is not { } error)
        {
            return;
        }

        json.WriteString("error"u8, Message(error));
        json.WritePropertyName("errorDetail"u8);
        json.WriteRawValue(error, skipInputValidation: true);
    }

    /// <summary>The member <c>message</c> of an error's JSON.</summary>
    private static string Message(string error)
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(error));
        while (reader.Read())
        {
            if (reader is { TokenType: JsonTokenType.PropertyName, CurrentDepth: 1 } && reader.ValueTextEquals("message"u8))
            {
                reader.Read();
                return reader.GetString() ?? "";
            }
        }

        return "";
    }

    /// <summary>What the code wrote: the platform's lines are not the user's.</summary>
    private static string UserLines(ReadOnlyMemory<byte> log)
    {
        var text = new StringBuilder();
        foreach (var (_, stream, line) in LogLines.Read(log))
        {
            if (stream == "platform")
            {
                continue;
            }

            if (text.Length > 0)
            {
                text.Append('\n');
            }

            text.Append(line.AsSpan().TrimEnd("\r\n"));
        }

        return text.ToString();
    }
}
