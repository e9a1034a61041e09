using Flint.Server.Services;

namespace Flint.Server.Security;

/// <summary>
/// Keeps web pages out: a browser on this machine can be made to send requests to loopback, by another site or by a name that is pointed here
/// (DNS rebinding). So only known Host names, no cross-origin requests, and only bodies that a page cannot send without being asked first.
/// </summary>
internal sealed class RequestProtection(IEnumerable<string> allowedHosts)
{
    private readonly string[] _hosts = ["localhost", "127.0.0.1", "[::1]", .. allowedHosts];

    /// <summary>The refusal, or null.</summary>
    public RefusedException? Check(HttpRequest request) => CheckFraming(request) ?? CheckHost(request) ?? CheckOrigin(request) ?? CheckBody(request);

    /// <summary>
    /// A body whose end two parsers may see in different places: a proxy in front, and this server. Kestrel itself refuses or ends the connection after the others of that
    /// kind, but takes any list of codings that ends with the one that it knows.
    /// </summary>
    private static RefusedException? CheckFraming(HttpRequest request)
    {
        var codings = request.Headers.TransferEncoding;
        return codings.Count == 0 || (codings.Count == 1 && "chunked".Equals(codings[0], StringComparison.OrdinalIgnoreCase))
            ? null
            : new RefusedException("bad_request", "The only transfer coding taken is chunked, once.", field: "Transfer-Encoding", limit: "chunked");
    }

    private RefusedException? CheckHost(HttpRequest request)
    {
        var host = request.Host.Host;
        foreach (var allowed in _hosts)
        {
            if (allowed.Equals(host, StringComparison.OrdinalIgnoreCase))
            {
                return null;
            }
        }

        return new RefusedException("host_not_allowed",
            "The request's Host is not one of this server's names.", field: "Host", limit: string.Join(", ", _hosts), knob: "Flint:Http:AllowedHosts");
    }

    private static RefusedException? CheckOrigin(HttpRequest request)
    {
        var headers = request.Headers;
        if (headers.TryGetValue("Sec-Fetch-Site", out var site) && site != "same-origin" && site != "none")
        {
            return new RefusedException("cross_origin", "A web page of another origin sent this request.", field: "Sec-Fetch-Site");
        }

        var origin = headers.Origin;
        if (origin.Count == 0)
        {
            return null;
        }

        var same = origin.Count == 1 && Uri.TryCreate(origin[0], UriKind.Absolute, out var uri) && uri.Scheme == request.Scheme
            && HostString.FromUriComponent(uri).Equals(WithPort(request.Host, uri));
        return same ? null : new RefusedException("cross_origin", "A web page of another origin sent this request.", field: "Origin");
    }

    /// <summary>An origin omits the scheme's default port; a Host may name it.</summary>
    private static HostString WithPort(HostString host, Uri origin) =>
        host.Port is null && !origin.IsDefaultPort ? host : host.Port == 80 && origin.IsDefaultPort ? new HostString(host.Host) : host;

    private static RefusedException? CheckBody(HttpRequest request)
    {
        var type = request.ContentType;
        if (type is null && request.ContentLength is null or 0 && request.Headers.TransferEncoding.Count == 0)
        {
            return null;
        }

        if (request.Headers.ContentEncoding.Count > 0)
        {
            return new RefusedException("unsupported_media_type", "Compressed bodies are not taken; send it as it is.", field: "Content-Encoding");
        }

        var wantsZip = request.HttpContext.GetEndpoint()?.Metadata.GetMetadata<AcceptsZip>() is not null;
        return IsMedia(type, "application/json") || (wantsZip && IsMedia(type, "application/zip"))
            ? null
            : new RefusedException("unsupported_media_type",
                wantsZip ? "The body must be application/json or application/zip." : "The body must be application/json.", field: "Content-Type",
                limit: wantsZip ? "application/json, application/zip" : "application/json");
    }

    /// <summary>True for the type alone or with the parameter charset=utf-8.</summary>
    public static bool IsMedia(string? type, string wanted)
    {
        if (type is null || !type.StartsWith(wanted, StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        var rest = type.AsSpan(wanted.Length).Trim();
        if (rest.IsEmpty)
        {
            return true;
        }

        return rest[0] == ';' && rest[1..].Trim() is var parameter
            && (parameter.IsEmpty || parameter.Equals("charset=utf-8", StringComparison.OrdinalIgnoreCase)
                || parameter.Equals("charset=\"utf-8\"", StringComparison.OrdinalIgnoreCase));
    }
}

/// <summary>Marks the endpoints that take <c>application/zip</c>.</summary>
internal sealed class AcceptsZip;
