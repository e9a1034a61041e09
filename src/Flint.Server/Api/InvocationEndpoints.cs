using System.Globalization;
using System.Text;
using Flint.Contracts;
using Flint.Contracts.Invocations;
using Flint.Data.Invocations;
using Flint.Server.Queue.Functions;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>History: list, get, and a record's log as text.</summary>
internal static class InvocationEndpoints
{
    public static void MapInvocations(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/invocations").WithTags("Invocations");
        group.MapGet("", ListAsync).WithName("listInvocations").WithSummary("List invocations, newest first, without results and logs")
            .Produces<Page<InvocationRecord>>().Refuses(400);
        group.MapGet("{id}", GetAsync).WithName("getInvocation").WithSummary("Get one invocation with its result and log")
            .Produces<InvocationRecord>().Refuses(404);
        group.MapGet("{id}/logs", LogsAsync).WithName("getInvocationLogs").WithSummary("Get one invocation's log as text")
            .Produces<string>(200, "text/plain").Refuses(404);
    }

    private static async Task ListAsync(
        HttpContext http, InvocationHistory history, JsonBuffers buffers, string? function, string? status, string? start, string? from, string? to,
        string? limit, string? cursor, CancellationToken cancellationToken)
    {
        var (page, next) = await history.ListAsync(
            Tenants.Default, new InvocationFilter(function, status, start, from, to), PageRequest.Parse(limit, cursor), cancellationToken);
        var buffer = buffers.Rent();
        try
        {
            var json = buffer.Writer;
            json.WriteStartObject();
            json.WriteStartArray("items"u8);
            foreach (var row in page.Rows)
            {
                json.WriteStartObject();
                RecordWriter.WriteMembers(json, row);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            if (next is not null)
            {
                json.WriteString("nextCursor"u8, next);
            }

            json.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, null);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    /// <summary>Waiting for and cancelling what is in the queue.</summary>
    public static void MapQueuedInvocations(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/invocations").WithTags("Invocations");
        group.MapGet("{id}/wait", WaitAsync).WithName("waitForInvocation")
            .WithSummary("Get an invocation when it is finished, or as it is when timeoutMs are over (30000 when not given, at most 120000)").Produces<InvocationRecord>().Refuses(400, 404);
        group.MapPost("{id}/cancel", CancelAsync).WithName("cancelInvocation")
            .WithSummary("Cancel a queued invocation: one that waits does not begin, one that runs is killed; 409 with its status when it is finished").Produces<InvocationRecord>().Refuses(404, 409);
    }

    private static async Task GetAsync(HttpContext http, InvocationHistory history, JsonBuffers buffers, string id, CancellationToken cancellationToken) =>
        await SendAsync(http, await history.GetAsync(Tenants.Default, id, cancellationToken), buffers);

    private static async Task WaitAsync(
        HttpContext http, AsyncInvocations invocations, JsonBuffers buffers, IHostApplicationLifetime lifetime, string id, string? timeoutMs, CancellationToken cancellationToken)
    {
        var timeout = JobEndpoints.WaitTime(timeoutMs);
        // A stopping server waits for its requests: this one answers at once.
        await SendAsync(http, await invocations.WaitAsync(Tenants.Default, id, timeout, lifetime.ApplicationStopping, cancellationToken), buffers);
    }

    private static async Task CancelAsync(HttpContext http, AsyncInvocations invocations, JsonBuffers buffers, string id, CancellationToken cancellationToken) =>
        await SendAsync(http, await invocations.CancelAsync(Tenants.Default, id, cancellationToken), buffers);

    /// <summary>Answers with a record and all that is known of it.</summary>
    public static async Task SendAsync(HttpContext http, InvocationRow row, JsonBuffers buffers)
    {
        var buffer = buffers.Rent();
        try
        {
            var json = buffer.Writer;
            json.WriteStartObject();
            RecordWriter.WriteMembers(json, row);
            if (row.WorkJson is not null)
            {
                JobRecords.WriteAttempts(json, row.AttemptsJson);
            }

            RecordWriter.WriteLogs(json, row);
            if (row.Payload is { IsEmpty: false } payload)
            {
                json.WritePropertyName("event"u8);
                json.WriteRawValue(payload.Span, skipInputValidation: true);
            }

            json.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, row.Result is { IsEmpty: false } ? row.Result : null);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    private static async Task<IResult> LogsAsync(InvocationHistory history, string id, CancellationToken cancellationToken)
    {
        return LogText(await history.GetAsync(Tenants.Default, id, cancellationToken));
    }

    /// <summary>The log as text, a line an event.</summary>
    public static IResult LogText(InvocationRow row)
    {
        var text = new StringBuilder();
        foreach (var (time, stream, line) in LogLines.Read(row.Log ?? ReadOnlyMemory<byte>.Empty))
        {
            text.Append(time.ToString(Timestamp.Format, CultureInfo.InvariantCulture)).Append(' ').Append(stream).Append(' ');
            AppendLine(text, line);
        }

        if (row.LogDroppedLines > 0)
        {
            text.Append(CultureInfo.InvariantCulture, $"({row.LogDroppedLines} lines, {row.LogDroppedBytes} bytes were dropped)\n");
        }

        return Results.Text(text.ToString(), "text/plain; charset=utf-8");
    }

    /// <summary>One event, one line: what would start another line, or move a terminal's cursor, is written as an escape.</summary>
    private static void AppendLine(StringBuilder text, string line)
    {
        foreach (var c in line.AsSpan().TrimEnd("\r\n"))
        {
            if (c == '\t' || !char.IsControl(c))
            {
                text.Append(c);
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            }
        }

        text.Append('\n');
    }
}
