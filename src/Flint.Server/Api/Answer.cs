using System.Globalization;
using System.Text.Json.Serialization.Metadata;
using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Contracts.Invocations;

namespace Flint.Server.Api;

/// <summary>The few forms that answers have.</summary>
internal static class Answer
{
    public static IResult Json<T>(T value, JsonTypeInfo<T> type, int status = StatusCodes.Status200OK) => Results.Json(value, type, statusCode: status);

    /// <summary>The resource, its revision as the ETag, and where it is when it is new.</summary>
    public static IResult Revision<T>(HttpContext http, T value, JsonTypeInfo<T> type, string revisionId, string? location = null)
    {
        http.Response.Headers.ETag = $"\"{revisionId}\"";
        if (location is not null)
        {
            http.Response.Headers.Location = location;
        }

        return Json(value, type, location is null ? StatusCodes.Status200OK : StatusCodes.Status201Created);
    }

    /// <summary>202, and where the record is.</summary>
    public static IResult Accepted(HttpContext http, AcceptedInvocation accepted)
    {
        http.Response.Headers.Location = (accepted.Mode == "job" ? "/api/jobs/" : "/api/invocations/") + accepted.Id;
        return Json(accepted, FlintJson.Default.AcceptedInvocation, StatusCodes.Status202Accepted);
    }

    public static IResult Function(HttpContext http, FunctionView view, string? location = null) =>
        Revision(http, view, FlintJson.Default.FunctionView, view.RevisionId, location);

    /// <summary>The header If-Match as a revision id; null when it is not sent.</summary>
    public static string? IfMatch(HttpContext http)
    {
        var value = http.Request.Headers.IfMatch;
        return value.Count switch
        {
            0 => null,
            1 when value[0] is { } tag && !tag.Contains(',') => tag.StartsWith("W/", StringComparison.Ordinal) ? tag : tag.Trim('"'),
            _ => throw new Services.RefusedException("invalid_field", "If-Match must be one revision.", field: "If-Match"),
        };
    }

    public static string Invariant(long value) => value.ToString(CultureInfo.InvariantCulture);
}
