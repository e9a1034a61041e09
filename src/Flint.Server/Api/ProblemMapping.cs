using System.Globalization;
using System.Text.Json;
using Flint.Contracts;
using Flint.Contracts.Errors;
using Flint.Data;
using Flint.Runtime.Invocation;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>The only place that turns what went wrong into an HTTP status, a problem body and a log level.</summary>
internal static class ProblemMapping
{
    private const string TypePrefix = "urn:flint:problem:";

    /// <summary>Codes that are not plain 400s.</summary>
    private static readonly Dictionary<string, int> Statuses = new(StringComparer.Ordinal)
    {
        ["cross_origin"] = 403,
        ["not_found"] = 404,
        ["function_not_found"] = 404,
        ["version_not_found"] = 404,
        ["alias_not_found"] = 404,
        ["qualifier_not_found"] = 404,
        ["invocation_not_found"] = 404,
        ["worker_not_found"] = 404,
        ["job_not_found"] = 404,
        ["schedule_not_found"] = 404,
        ["dead_letter_not_found"] = 404,
        ["method_not_allowed"] = 405,
        ["request_timeout"] = 408,
        ["function_exists"] = 409,
        ["alias_exists"] = 409,
        ["schedule_exists"] = 409,
        ["schedule_limit"] = 409,
        ["invocation_finished"] = 409,
        ["not_redrivable"] = 409,
        ["version_in_use"] = 409,
        ["publish_conflict"] = 409,
        ["job_finished"] = 409,
        ["idempotency_conflict"] = 409,
        ["revision_mismatch"] = 412,
        ["code_mismatch"] = 412,
        ["body_too_large"] = 413,
        ["payload_too_large"] = 413,
        ["zip_too_large"] = 413,
        ["code_too_large"] = 413,
        ["unsupported_media_type"] = 415,
        ["host_not_allowed"] = 421,
        ["throttled"] = 429,
        ["internal_error"] = 500,
        ["engine_unavailable"] = 503,
        ["code_unavailable"] = 503,
        ["store_unavailable"] = 503,
        ["stopping"] = 503,
    };

    public static Problem From(RefusedException refused) =>
        Make(refused.Code, refused.Message) with { Field = refused.Field, Entry = refused.Entry, Limit = refused.Limit, Knob = refused.Knob, InvocationStatus = refused.Status };

    public static Problem Make(string code, string detail)
    {
        var status = Statuses.GetValueOrDefault(code, 400);
        return new Problem { Type = TypePrefix + code, Title = Title(code), Status = status, Code = code, Detail = detail };
    }

    /// <summary>What the framework refused by itself, in our shape.</summary>
    public static Problem FromStatus(int status, string? detail = null) => status switch
    {
        404 => Make("not_found", detail ?? "There is no such resource."),
        405 => Make("method_not_allowed", detail ?? "The resource does not take this method; see the header Allow."),
        408 => Make("request_timeout", detail ?? "The request came too slowly."),
        413 => Make("body_too_large", detail ?? "The request's body is too large."),
        415 => Make("unsupported_media_type", detail ?? "The request's content type is not taken here."),
        _ => Make(status >= 500 ? "internal_error" : "bad_request", detail ?? "The request was refused.") with { Status = status },
    };

    /// <summary>The server's own fault, without its internals: those stand in the log under the correlation id.</summary>
    public static Problem From(Exception exception) => exception switch
    {
        CodeMissingException => Make("code_unavailable",
            "The function's code cannot be read from the store, so it did not run. Deploy the code again; the server's log has the details under the correlation id."),
        DatabaseException => Make("store_unavailable",
            "The server cannot reach its database at the moment; its log has the details under the correlation id."),
        _ => Make("internal_error", "Something went wrong in the server; its log has the details under the correlation id."),
    };

    /// <summary>An invocation that did not run; null when it ran, also when it failed: that is a result.</summary>
    public static Problem? From(InvocationError? error, string invocationId) => error?.Type switch
    {
        FaultType.Throttled => Make("throttled", error.Message) with { InvocationId = invocationId },
        FaultType.EngineUnavailable => Make("engine_unavailable", error.Message) with { InvocationId = invocationId },
        FaultType.InvalidPayload => Make("invalid_payload", error.Message) with { InvocationId = invocationId },
        _ => null,
    };

    /// <summary>How loudly the platform log tells of an invocation's end: what users do wrong is theirs to read in their records.</summary>
    public static LogLevel LogLevel(FaultType? type) => type?.Owner() == FaultOwner.Platform
        ? Microsoft.Extensions.Logging.LogLevel.Warning
        : Microsoft.Extensions.Logging.LogLevel.Debug;

    public static async Task WriteAsync(HttpContext http, Problem problem)
    {
        if (problem.Status is 429 or 503 && !http.Response.Headers.ContainsKey("Retry-After"))
        {
            http.Response.Headers.RetryAfter = "1";
        }

        var body = JsonSerializer.SerializeToUtf8Bytes(problem, FlintJson.Default.Problem);
        http.Response.StatusCode = problem.Status;
        http.Response.ContentType = "application/problem+json";
        http.Response.ContentLength = body.Length;
        if (!HttpMethods.IsHead(http.Request.Method))
        {
            await http.Response.Body.WriteAsync(body, http.RequestAborted).ConfigureAwait(false);
        }
    }

    private static string Title(string code) =>
        string.Create(CultureInfo.InvariantCulture, $"{char.ToUpperInvariant(code[0])}{code[1..].Replace('_', ' ')}");
}
