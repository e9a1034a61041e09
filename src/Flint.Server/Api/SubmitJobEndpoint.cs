using Flint.Contracts.Errors;
using Flint.Contracts.Jobs;
using Flint.Server.Hosting;
using Flint.Server.Queue.Jobs;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>
/// <c>POST /api/jobs</c>, a hot path: a plain request delegate, no parameter binding, no scopes; code and arguments stay where they came in the body until the database has them.
/// </summary>
internal sealed class SubmitJobEndpoint(JobService service, JobRequestReader reader, JsonBuffers buffers, BodyBudget bodies, UploadGate gate, JobOptions jobs)
{
    public const string KeyHeader = "Idempotency-Key";

    /// <summary>Checking a larger one is long work for a thread that others wait for.</summary>
    private const int Large = 64 * 1024;

    public static void Map(IEndpointRouteBuilder routes)
    {
        var endpoint = ActivatorUtilities.CreateInstance<SubmitJobEndpoint>(routes.ServiceProvider);
        routes.MapPost("/api/jobs", endpoint.SubmitAsync)
            .WithMetadata(((Delegate)Describe).Method)
            .WithMetadata(new RunsOnSocketThread())
            .WithTags("Jobs").WithName("submitJob")
            .WithSummary("Put code into the queue, to run main(...args) once in a fresh sandbox; answered when it is durable. 200 with Idempotent-Replayed: true when the idempotency key was given before")
            .WithMetadata(
                new ProducesResponseTypeMetadata(202, typeof(JobRecord), ["application/json"]),
                new ProducesResponseTypeMetadata(200, typeof(JobRecord), ["application/json"]),
                Refusal(400), Refusal(408), Refusal(409), Refusal(413), Refusal(415), Refusal(429), Refusal(503))
            .WithMetadata(new Microsoft.AspNetCore.Http.Metadata.AcceptsMetadata(["application/json"], typeof(SubmitJobRequest)));
    }

    private static ProducesResponseTypeMetadata Refusal(int status) => new(status, typeof(Problem), ["application/problem+json"]);

    /// <summary>Never called: the parameters that <see cref="SubmitAsync"/> reads itself, for the OpenAPI document.</summary>
    private static void Describe([Microsoft.AspNetCore.Mvc.FromHeader(Name = KeyHeader)] string? idempotencyKey) => _ = idempotencyKey;

    private async Task SubmitAsync(HttpContext http)
    {
        using var slot = await gate.EnterAsync(http.Request.ContentLength, http.RequestAborted).ConfigureAwait(false);
        // Held until the answer is out: code and arguments are slices of it.
        using var body = await RequestBody.ReadAsync(http, bodies, jobs.MaxBodyBytes, "body_too_large", "Flint:Jobs:MaxBodyBytes", http.RequestAborted).ConfigureAwait(false);
        if (body.Bytes.Length > Large)
        {
            await SocketThreads.Leave();
        }

        var request = reader.Read(body.Bytes);
        JobService.SetKey(request, HeaderKey(http));
        await SendAsync(http, await service.SubmitAsync(Tenants.Default, request, http.RequestAborted).ConfigureAwait(false), buffers).ConfigureAwait(false);
    }

    /// <summary>202 with the new job, or 200 with the one that stands for it.</summary>
    public static async Task SendAsync(HttpContext http, SubmitAnswer answer, JsonBuffers buffers)
    {
        if (answer.Replayed is { } known)
        {
            http.Response.Headers["Idempotent-Replayed"] = "true";
            await JobEndpoints.SendAsync(http, known, buffers).ConfigureAwait(false);
            return;
        }

        var submission = answer.Added!;
        http.Response.StatusCode = StatusCodes.Status202Accepted;
        http.Response.Headers.Location = "/api/jobs/" + submission.Entry.Row.Id;
        var buffer = buffers.Rent();
        try
        {
            buffer.Writer.WriteStartObject();
            JobRecords.Write(buffer.Writer, submission);
            buffer.Writer.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, null).ConfigureAwait(false);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    /// <summary>The header, or null when it is not sent.</summary>
    public static string? HeaderKey(HttpContext http)
    {
        var header = http.Request.Headers[KeyHeader];
        return header.Count switch
        {
            0 => null,
            1 => header[0],
            _ => throw new RefusedException("invalid_field", "The header Idempotency-Key is there more than once.", field: KeyHeader),
        };
    }
}
