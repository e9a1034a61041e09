using System.Text;
using System.Text.Json;
using Flint.Contracts;
using Flint.Contracts.Errors;
using Flint.Contracts.Invocations;
using Flint.Runtime.Hosting;
using Flint.Server.Hosting;
using Flint.Server.Queue;
using Flint.Server.Queue.Functions;
using Flint.Server.Services;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace Flint.Server.Api;

/// <summary>
/// <c>POST /api/functions/{name}/invoke</c>, the hot path: a plain request delegate, no parameter binding, no scopes, one copy of the event in
/// and of the result out.
/// </summary>
internal sealed class InvokeEndpoint(
    InvocationService invocations, IServiceProvider services, JsonBuffers buffers, BodyBudget bodies, LimitOptions limits, QueueOptions queue)
{
    /// <summary>What is in the answer only when it is asked for.</summary>
    [Flags]
    private enum Extras
    {
        None = 0,
        Logs = 1,
        Timings = 2,
    }

    private const string OctetStream = "application/octet-stream";
    private const string IdempotencyKey = "Idempotency-Key";

    /// <summary>Checking a larger one is long work for a thread that others wait for.</summary>
    private const int LargeEvent = 64 * 1024;

    public static void Map(IEndpointRouteBuilder routes)
    {
        var endpoint = ActivatorUtilities.CreateInstance<InvokeEndpoint>(routes.ServiceProvider);
        routes.MapPost("/api/functions/{name}/invoke", endpoint.InvokeAsync)
            .WithMetadata(((Delegate)Describe).Method)
            .WithMetadata(new RunsOnSocketThread())
            .WithTags("Invocations").WithName("invokeFunction")
            .WithSummary("Run a function and wait for its result. The body is the event; none means {}. "
                + "With Accept: application/octet-stream the answer is the result alone. With mode=async it is queued, and the answer is 202 once that is committed.")
            .WithMetadata(
                new ProducesResponseTypeMetadata(200, typeof(InvocationRecord), ["application/json", OctetStream]),
                new ProducesResponseTypeMetadata(202, typeof(AcceptedInvocation), ["application/json"]),
                Refusal(400), Refusal(404), Refusal(408), Refusal(409), Refusal(413), Refusal(415), Refusal(429), Refusal(503))
            .WithMetadata(new Microsoft.AspNetCore.Http.Metadata.AcceptsMetadata(["application/json"], typeof(JsonElement), isOptional: true));
    }

    private static ProducesResponseTypeMetadata Refusal(int status) => new(status, typeof(Problem), ["application/problem+json"]);

    /// <summary>Never called: the parameters that <see cref="InvokeAsync"/> reads itself, for the OpenAPI document.</summary>
    private static void Describe(
        string name, string? qualifier, string? logs, string? timings, string? mode, string? delayMs, string? priority, [FromHeader(Name = IdempotencyKey)] string? idempotencyKey) =>
        _ = (name, qualifier, logs, timings, mode, delayMs, priority, idempotencyKey);

    private async Task InvokeAsync(HttpContext http)
    {
        var name = Names.CheckFunction((string?)http.Request.RouteValues["name"]);
        string? qualifier = null;
        var queued = false;
        var extras = Extras.None;
        if (http.Request.QueryString.HasValue)
        {
            qualifier = http.Request.Query["qualifier"] is [{ Length: > 0 } asked] ? asked : null;
            extras = (http.Request.Query["logs"] == "true" ? Extras.Logs : Extras.None)
                | (http.Request.Query["timings"] == "true" ? Extras.Timings : Extras.None);
            queued = http.Request.Query["mode"] is [{ Length: > 0 } mode] && IsAsync(mode);
        }

        var entry = await invocations.ResolveAsync(Tenants.Default, name, qualifier, http.RequestAborted).ConfigureAwait(false);
        if (queued)
        {
            await EnqueueAsync(http, entry, qualifier).ConfigureAwait(false);
            return;
        }

        // Held until the answer is out: the event is in memory for so long.
        using var body = await RequestBody.ReadAsync(
            http, bodies, limits.MaxPayloadBytes, "payload_too_large", "Flint:Limits:MaxPayloadBytes", http.RequestAborted).ConfigureAwait(false);
        var payload = body.Bytes;
        if (payload.Length > LargeEvent)
        {
            await SocketThreads.Leave();
        }

        var caller = entry.Spec.CancelOnDisconnect ? http.RequestAborted : CancellationToken.None;
        var answer = await invocations.InvokeAsync(entry, qualifier, payload, caller).ConfigureAwait(false);
        if (ProblemMapping.From(answer.Error, answer.Row.Id) is { } problem)
        {
            await ProblemMapping.WriteAsync(http, problem).ConfigureAwait(false);
        }
        else if (WantsBytes(http.Request.Headers.Accept))
        {
            await SendBytesAsync(http, answer).ConfigureAwait(false);
        }
        else
        {
            await SendRecordAsync(http, answer, extras).ConfigureAwait(false);
        }
    }

    private static bool IsAsync(string mode) => mode switch
    {
        "async" => true,
        "sync" => false,
        _ => throw new RefusedException("invalid_field", "mode must be sync or async.", field: "mode", limit: "sync, async"),
    };

    private async Task EnqueueAsync(HttpContext http, CatalogEntry entry, string? qualifier)
    {
        using var body = await RequestBody.ReadAsync(
            http, bodies, queue.MaxAsyncPayloadBytes, "payload_too_large", "Flint:Queue:MaxAsyncPayloadBytes", http.RequestAborted).ConfigureAwait(false);
        // The database may block.
        await SocketThreads.Leave();
        var query = http.Request.Query;
        var ask = new AsyncAsk(query["delayMs"], query["priority"], http.Request.Headers[IdempotencyKey]);
        var answer = await services.GetRequiredService<AsyncInvocations>().EnqueueAsync(entry, qualifier, body.Bytes, ask, http.RequestAborted).ConfigureAwait(false);
        await (answer.Replayed ? Answer.Json(answer.Invocation, FlintJson.Default.AcceptedInvocation) : Answer.Accepted(http, answer.Invocation)).ExecuteAsync(http).ConfigureAwait(false);
    }

    /// <summary>
    /// True when the client would rather have the result's bytes than the record: it names application/octet-stream, and does not like application/json as much. Nobody
    /// is refused for what he accepts.
    /// </summary>
    internal static bool WantsBytes(StringValues accept)
    {
        if (accept.Count == 0 || accept == "*/*" || accept == "application/json" || !MediaTypeHeaderValue.TryParseList(accept, out var ranges))
        {
            return false;
        }

        var (bytes, json, jsonByWildcard) = (0.0, 0.0, 0.0);
        foreach (var range in ranges)
        {
            var quality = range.Quality ?? 1;
            if (range.MediaType.Equals(OctetStream, StringComparison.OrdinalIgnoreCase))
            {
                bytes = Math.Max(bytes, quality);
            }
            else if (range.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase))
            {
                json = Math.Max(json, quality);
            }
            else if (range.MatchesAllTypes || (range.MatchesAllSubTypes && range.Type.Equals("application", StringComparison.OrdinalIgnoreCase)))
            {
                jsonByWildcard = Math.Max(jsonByWildcard, quality);
            }
        }

        // Named counts for more than covered by a wildcard.
        return bytes > 0 && bytes > json && (json > 0 || bytes >= jsonByWildcard);
    }

    private async Task SendRecordAsync(HttpContext http, InvocationAnswer answer, Extras extras)
    {
        var buffer = buffers.Rent();
        try
        {
            buffer.Writer.WriteStartObject();
            RecordWriter.WriteMembers(buffer.Writer, answer.Row);
            if (extras.HasFlag(Extras.Timings))
            {
                RecordWriter.WriteTimings(buffer.Writer, answer.Timings);
            }

            if (extras.HasFlag(Extras.Logs))
            {
                RecordWriter.WriteLogs(buffer.Writer, answer.Row);
            }

            buffer.Writer.Flush();
            await RecordWriter.SendAsync(http, buffer.Bytes.WrittenMemory, answer.Row.Result).ConfigureAwait(false);
        }
        finally
        {
            buffers.Return(buffer);
        }
    }

    private static async Task SendBytesAsync(HttpContext http, InvocationAnswer answer)
    {
        var headers = http.Response.Headers;
        headers["X-Flint-Invocation-Id"] = answer.Row.Id;
        headers["X-Flint-Executed-Version"] = answer.Row.Version;
        var body = answer.Row.Result ?? ReadOnlyMemory<byte>.Empty;
        if (answer.Error is not null)
        {
            headers["X-Flint-Function-Error"] = answer.Row.ErrorType;
            body = Encoding.UTF8.GetBytes(answer.Row.ErrorJson!);
        }

        http.Response.ContentType = OctetStream;
        http.Response.ContentLength = body.Length;
        await http.Response.BodyWriter.WriteAsync(body, http.RequestAborted).ConfigureAwait(false);
    }
}
