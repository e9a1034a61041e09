using System.Globalization;
using System.Text.Json;
using Flint.Contracts.Jobs;
using Flint.Data.Queue;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>Jobs: many at once, list, get, wait, cancel, run again, and the log as text.</summary>
internal static class JobEndpoints
{
    private const int DefaultWaitMs = 30_000;
    private const int MaxWaitMs = 120_000;

    public static void MapJobs(this IEndpointRouteBuilder routes)
    {
        var group = routes.MapGroup("/api/jobs").WithTags("Jobs");
        group.MapPost("bulk", BulkAsync).WithName("submitJobs").WithSummary("Put many jobs into the queue in one transaction; one that is wrong refuses all, and field names it, as in jobs[3].timeout")
            .Accepts<IReadOnlyList<SubmitJobRequest>>("application/json").Produces<BulkJobsAnswer>(202).Refuses(400, 408, 413, 415, 429, 503);
        group.MapGet("", ListAsync).WithName("listJobs").WithSummary("List jobs, newest first, without code, args, results and logs. Page numbers reach 100000 jobs deep; cursors reach all")
            .Produces<JobPage>().Refuses(400, 503);
        group.MapGet("{id}", GetAsync).WithName("getJob").WithSummary("Get one job with its result and log")
            .Produces<JobRecord>().Refuses(404, 503);
        group.MapGet("{id}/wait", WaitAsync).WithName("waitForJob").WithSummary("Get one job when it is finished, or as it is when timeoutMs are over (30000 when not given, at most 120000)")
            .Produces<JobRecord>().Refuses(400, 404, 503);
        group.MapGet("{id}/logs", LogsAsync).WithName("getJobLogs").WithSummary("Get one job's log as text")
            .Produces<string>(200, "text/plain").Refuses(404, 503);
        group.MapPost("{id}/cancel", CancelAsync).WithName("cancelJob").WithSummary("Cancel a job: one that waits does not begin, one that runs is killed; 409 with its status when it is finished")
            .Produces<JobRecord>().Refuses(404, 409, 503);
        group.MapPost("{id}/rerun", RerunAsync).WithName("rerunJob").WithSummary("Submit a job's code, arguments and settings again; a body replaces what it gives")
            .Accepts<SubmitJobRequest>(isOptional: true, "application/json").Produces<JobRecord>(202).Produces<JobRecord>(200).Refuses(400, 404, 408, 409, 413, 415, 429, 503);
    }

    /// <summary>Answers with a job and all that is known of it.</summary>
    public static async Task SendAsync(HttpContext http, JobDetail job, JsonBuffers buffers)
    {
        var buffer = buffers.Rent();
        try
        {
            buffer.Writer.WriteStartObject();
            JobRecords.Write(buffer.Writer, job);
            buffer.Writer.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, job.Row.Result is { IsEmpty: false } ? job.Row.Result : null).ConfigureAwait(false);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    /// <summary>How long a request wants to wait. Throws <see cref="RefusedException"/>.</summary>
    public static TimeSpan WaitTime(string? timeoutMs)
    {
        var timeout = DefaultWaitMs;
        if (!string.IsNullOrEmpty(timeoutMs)
            && (!int.TryParse(timeoutMs, NumberStyles.None, CultureInfo.InvariantCulture, out timeout) || timeout > MaxWaitMs))
        {
            throw new RefusedException("invalid_field", $"timeoutMs must be 0 to {MaxWaitMs}.", field: "timeoutMs", limit: $"0 to {MaxWaitMs}");
        }

        return TimeSpan.FromMilliseconds(timeout);
    }

    private static async Task BulkAsync(
        HttpContext http, JobService service, JobRequestReader reader, BodyBudget bodies, UploadGate gate, JobOptions jobs, JsonBuffers buffers, CancellationToken cancellationToken)
    {
        using var slot = await gate.EnterAsync(http.Request.ContentLength, cancellationToken);
        using var body = await RequestBody.ReadAsync(http, bodies, 4L * jobs.MaxBodyBytes, "body_too_large", "Flint:Jobs:MaxBodyBytes", cancellationToken);
        var results = await service.SubmitManyAsync(Tenants.Default, reader.ReadMany(body.Bytes), cancellationToken);
        http.Response.StatusCode = StatusCodes.Status202Accepted;
        var buffer = buffers.Rent();
        try
        {
            var json = buffer.Writer;
            json.WriteStartObject();
            json.WriteStartArray("items"u8);
            foreach (var result in results)
            {
                json.WriteStartObject();
                json.WriteString("_id"u8, result.Id);
                json.WriteString("id"u8, result.Id);
                json.WriteString("outcome"u8, result.Outcome switch
                {
                    EnqueueOutcome.Added => "added"u8,
                    EnqueueOutcome.Known => "known"u8,
                    _ => "key_taken"u8,
                });
                json.WriteEndObject();
            }

            json.WriteEndArray();
            json.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, null);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    private static async Task ListAsync(
        HttpContext http, JobLists lists, JsonBuffers buffers, string? page, string? limit, string? status, string? tag, string? from, string? to, string? cursor,
        CancellationToken cancellationToken)
    {
        var found = await lists.ListAsync(Tenants.Default, new JobFilter(page, limit, status, tag, from, to, cursor), cancellationToken);
        var buffer = buffers.Rent();
        try
        {
            var json = buffer.Writer;
            json.WriteStartObject();
            json.WriteStartArray("items"u8);
            foreach (var row in found.Rows)
            {
                json.WriteStartObject();
                JobRecords.WriteListed(json, row);
                json.WriteEndObject();
            }

            json.WriteEndArray();
            WritePlace(json, found);
            json.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, null);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    private static void WritePlace(Utf8JsonWriter json, JobRows found)
    {
        if (found.Page is { } page)
        {
            json.WriteNumber("page"u8, page);
        }

        json.WriteNumber("limit"u8, found.Limit);
        if (found.Total is { } total)
        {
            json.WriteNumber("total"u8, total);
            json.WriteBoolean("totalIsExact"u8, found.TotalIsExact);
        }

        if (found.NextCursor is { } next)
        {
            json.WriteString("nextCursor"u8, next);
        }
    }

    private static async Task GetAsync(HttpContext http, JobService service, JsonBuffers buffers, string id, CancellationToken cancellationToken) =>
        await SendAsync(http, await service.GetAsync(Tenants.Default, id, cancellationToken), buffers);

    private static async Task WaitAsync(
        HttpContext http, JobService service, JsonBuffers buffers, IHostApplicationLifetime lifetime, string id, string? timeoutMs, CancellationToken cancellationToken)
    {
        var timeout = WaitTime(timeoutMs);
        // A stopping server waits for its requests: this one answers at once.
        var job = await service.WaitAsync(Tenants.Default, id, timeout, lifetime.ApplicationStopping, cancellationToken);
        await SendAsync(http, job, buffers);
    }

    private static async Task<IResult> LogsAsync(JobService service, string id, CancellationToken cancellationToken) =>
        InvocationEndpoints.LogText(await service.GetRowAsync(Tenants.Default, id, cancellationToken));

    private static async Task CancelAsync(HttpContext http, JobService service, JsonBuffers buffers, string id, CancellationToken cancellationToken) =>
        await SendAsync(http, await service.CancelAsync(Tenants.Default, id, cancellationToken), buffers);

    private static async Task RerunAsync(
        HttpContext http, JobService service, BodyBudget bodies, UploadGate gate, JobOptions jobs, JsonBuffers buffers, string id, CancellationToken cancellationToken)
    {
        using var slot = await gate.EnterAsync(http.Request.ContentLength, cancellationToken);
        using var body = await RequestBody.ReadAsync(http, bodies, jobs.MaxBodyBytes, "body_too_large", "Flint:Jobs:MaxBodyBytes", cancellationToken);
        var answer = await service.RerunAsync(Tenants.Default, id, body.Bytes, SubmitJobEndpoint.HeaderKey(http), cancellationToken);
        await SubmitJobEndpoint.SendAsync(http, answer, buffers);
    }
}
