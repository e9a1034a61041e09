using System.Buffers;
using System.Text.Json;
using Flint.Contracts;
using Flint.Data.Invocations;
using Flint.Runtime.Invocation;

namespace Flint.Server.Api;

/// <summary>Writes invocation records (Contracts' InvocationRecord) straight from rows: results, events and errors are copied, never parsed into objects.</summary>
internal static class RecordWriter
{
    private const decimal BytesPerMb = 1024 * 1024;

    /// <summary>Writes the members of a record, without its braces and without its result.</summary>
    public static void WriteMembers(Utf8JsonWriter json, InvocationRow row)
    {
        json.WriteString("id"u8, row.Id);
        json.WriteString("function"u8, row.FunctionName);
        json.WriteString("version"u8, row.Version);
        if (row.Qualifier is not null)
        {
            json.WriteString("qualifier"u8, row.Qualifier);
        }

        json.WriteString("mode"u8, row.Mode);
        json.WriteString("status"u8, row.Status);
        if (row.Mode != "sync")
        {
            WriteQueued(json, row);
        }

        if (row.ColdStart is { } cold)
        {
            json.WriteString("start"u8, cold ? "cold"u8 : "warm"u8);
        }

        if (row.StartMode is not null)
        {
            json.WriteString("startMode"u8, row.StartMode);
        }

        if (row.StartReason is not null)
        {
            json.WriteString("startReason"u8, row.StartReason);
        }

        if (row.Engine is not null)
        {
            json.WriteString("engine"u8, row.Engine);
        }

        WriteUnenforced(json, row);
        WriteNumbers(json, row);
        WriteTime(json, "createdAt"u8, row.CreatedAt);
        WriteTime(json, "startedAt"u8, row.StartedAt);
        WriteTime(json, "completedAt"u8, row.CompletedAt);
        if (row.ErrorJson is not null)
        {
            json.WritePropertyName("error"u8);
            json.WriteRawValue(row.ErrorJson, skipInputValidation: true);
        }

        WriteTruncated(json, row);
    }

    /// <summary>What only queued invocations have.</summary>
    private static void WriteQueued(Utf8JsonWriter json, InvocationRow row)
    {
        WriteTime(json, "runAt"u8, row.RunAt);
        if (row.WorkerId is not null)
        {
            json.WriteString("worker"u8, row.WorkerId);
        }

        json.WriteNumber("attemptCount"u8, row.Attempts);
        if (row.Tags.Count > 0)
        {
            json.WriteStartArray("tags"u8);
            foreach (var tag in row.Tags)
            {
                json.WriteStringValue(tag);
            }

            json.WriteEndArray();
        }
    }

    public static void WriteUnenforced(Utf8JsonWriter json, InvocationRow row)
    {
        if (row.Unenforced is not null)
        {
            json.WriteStartArray("unenforced"u8);
            foreach (var limit in row.Unenforced.Split(','))
            {
                json.WriteStringValue(limit);
            }

            json.WriteEndArray();
        }
    }

    public static void WritePeakMemory(Utf8JsonWriter json, InvocationRow row)
    {
        if (row.PeakMemoryBytes is { } peak)
        {
            json.WriteNumber("peakMemoryMb"u8, Math.Round(peak / BytesPerMb, 2));
        }
    }

    public static void WriteTruncated(Utf8JsonWriter json, InvocationRow row)
    {
        if (row.LogDroppedLines > 0)
        {
            json.WriteStartObject("logsTruncated"u8);
            json.WriteNumber("droppedLines"u8, row.LogDroppedLines);
            json.WriteNumber("droppedBytes"u8, row.LogDroppedBytes);
            json.WriteEndObject();
        }
    }

    public static void WriteTimings(Utf8JsonWriter json, in InvocationTimings timings)
    {
        json.WriteStartObject("timings"u8);
        WriteMilliseconds(json, "queueMs"u8, timings.Queue);
        WriteMilliseconds(json, "createMs"u8, timings.Create);
        WriteMilliseconds(json, "bootMs"u8, timings.Boot);
        WriteMilliseconds(json, "initMs"u8, timings.Init);
        WriteMilliseconds(json, "prepareMs"u8, timings.Prepare);
        WriteMilliseconds(json, "runMs"u8, timings.Run);
        WriteMilliseconds(json, "aheadMakeMs"u8, timings.Making.Make);
        WriteMilliseconds(json, "aheadForkMs"u8, timings.Making.Fork);
        WriteMilliseconds(json, "aheadEnterMs"u8, timings.Making.Enter);
        json.WriteEndObject();
    }

    private static void WriteMilliseconds(Utf8JsonWriter json, ReadOnlySpan<byte> name, TimeSpan time) =>
        json.WriteNumber(name, Math.Round(time.TotalMilliseconds, 3));

    public static void WriteLogs(Utf8JsonWriter json, InvocationRow row) => WriteLogs(json, row, "logs"u8);

    public static void WriteLogs(Utf8JsonWriter json, InvocationRow row, ReadOnlySpan<byte> member)
    {
        json.WriteStartArray(member);
        foreach (var line in LogLines.Read(row.Log ?? ReadOnlyMemory<byte>.Empty))
        {
            json.WriteStartObject();
            WriteTime(json, "time"u8, line.Time);
            json.WriteString("stream"u8, line.Stream);
            json.WriteString("text"u8, line.Text);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>
    /// Answers with what the buffer holds (an object, not yet closed), the result as its last member, and the closing brace: the
    /// result's bytes go from the guest's frame to the socket without another copy in between.
    /// </summary>
    public static async Task SendAsync(HttpContext http, ReadOnlyMemory<byte> open, ReadOnlyMemory<byte>? result)
    {
        var response = http.Response;
        response.ContentType = "application/json; charset=utf-8";
        response.ContentLength = open.Length + (result is { } bytes ? ResultMember.Length + bytes.Length : 0) + 1;
        var body = response.BodyWriter;
        body.Write(open.Span);
        if (result is { } value)
        {
            body.Write(ResultMember);
            body.Write(value.Span);
        }

        body.Write("}"u8);
        await body.FlushAsync(http.RequestAborted).ConfigureAwait(false);
    }

    private static ReadOnlySpan<byte> ResultMember => ",\"result\":"u8;

    private static void WriteNumbers(Utf8JsonWriter json, InvocationRow row)
    {
        if (row.DurationMs is { } duration)
        {
            json.WriteNumber("durationMs"u8, duration);
        }

        if (row.InitDurationMs is { } init)
        {
            json.WriteNumber("initDurationMs"u8, init);
        }

        if (row.BilledMs is { } billed)
        {
            json.WriteNumber("billedDurationMs"u8, billed);
        }

        json.WriteNumber("memoryMb"u8, row.MemoryMb);
        WritePeakMemory(json, row);
    }

    public static void WriteTime(Utf8JsonWriter json, ReadOnlySpan<byte> name, DateTimeOffset? time)
    {
        if (time is { } value)
        {
            json.WritePropertyName(name);
            Timestamp.Write(json, value);
        }
    }
}
