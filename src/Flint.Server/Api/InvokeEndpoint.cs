using System.Text;
using System.Text.Json;
using Flint.Contracts.Errors;
using Flint.Contracts.Invocations;
using Flint.Runtime.Hosting;
using Flint.Server.Hosting;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>
/// <c>POST /api/functions/{name}/invoke</c>, the hot path: a plain request delegate, no parameter binding, no scopes, one copy of the event in
/// and of the result out.
/// </summary>
internal sealed class InvokeEndpoint(InvocationService invocations, JsonBuffers buffers, LimitOptions limits)
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
                + "With Accept: application/octet-stream the answer is the result alone.")
            .WithMetadata(
                new ProducesResponseTypeMetadata(200, typeof(InvocationRecord), ["application/json", OctetStream]),
                Refusal(400), Refusal(404), Refusal(413), Refusal(415), Refusal(429), Refusal(503))
            .WithMetadata(new Microsoft.AspNetCore.Http.Metadata.AcceptsMetadata(["application/json"], typeof(JsonElement), isOptional: true));
    }

    private static ProducesResponseTypeMetadata Refusal(int status) => new(status, typeof(Problem), ["application/problem+json"]);

    /// <summary>Never called: the parameters that <see cref="InvokeAsync"/> reads itself, for the OpenAPI document.</summary>
    private static void Describe(string name, string? qualifier, string? logs, string? timings) => _ = (name, qualifier, logs, timings);

    private async Task InvokeAsync(HttpContext http)
    {
        var name = Names.CheckFunction((string?)http.Request.RouteValues["name"]);
        string? qualifier = null;
        var extras = Extras.None;
        if (http.Request.QueryString.HasValue)
        {
            qualifier = http.Request.Query["qualifier"] is [{ Length: > 0 } asked] ? asked : null;
            extras = (http.Request.Query["logs"] == "true" ? Extras.Logs : Extras.None)
                | (http.Request.Query["timings"] == "true" ? Extras.Timings : Extras.None);
        }

        var entry = await invocations.ResolveAsync(Tenants.Default, name, qualifier, http.RequestAborted).ConfigureAwait(false);
        var payload = await RequestBody.ReadAsync(http, limits.MaxPayloadBytes, "payload_too_large", "Flint:Limits:MaxPayloadBytes", http.RequestAborted)
            .ConfigureAwait(false);
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
        else if (http.Request.Headers.Accept == OctetStream)
        {
            await SendBytesAsync(http, answer).ConfigureAwait(false);
        }
        else
        {
            await SendRecordAsync(http, answer, extras).ConfigureAwait(false);
        }
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
