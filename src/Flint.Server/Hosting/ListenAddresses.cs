using System.Globalization;
using System.Net;

namespace Flint.Server.Hosting;

/// <summary>Where the server listens: on loopback only, until there is authentication.</summary>
internal static class ListenAddresses
{
    public const string Default = "http://127.0.0.1:8000";

    /// <summary>Checks <c>--urls</c>: adds a problem for each that is not an http address of this machine's loopback.</summary>
    public static void Check(string? urls, List<string> problems)
    {
        foreach (var url in (string.IsNullOrWhiteSpace(urls) ? Default : urls).Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (url.StartsWith("http://unix:", StringComparison.OrdinalIgnoreCase) || url.Contains("://pipe:", StringComparison.OrdinalIgnoreCase))
            {
                problems.Add($"urls: '{url}' is a unix socket or a pipe; only http on loopback is served.");
                continue;
            }

            if (!TrySplit(url, out var host))
            {
                problems.Add($"urls: '{url}' is not of the form http://address:port (port 0 to 65535).");
                continue;
            }

            if (!host.Equals("localhost", StringComparison.OrdinalIgnoreCase) && !(IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address)))
            {
                problems.Add($"urls: '{url}' can be reached from outside of this machine. Flint has no authentication yet, so whoever reaches it "
                    + "runs code on it: it binds to loopback only (127.0.0.1, [::1] or localhost). Put an authenticating proxy in front, on this machine.");
            }
        }
    }

    private static bool TrySplit(string url, out string host)
    {
        host = "";
        if (!url.StartsWith("http://", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        var rest = url["http://".Length..].TrimEnd('/');
        var colon = rest.LastIndexOf(':');
        if (colon > rest.LastIndexOf(']'))
        {
            if (!int.TryParse(rest[(colon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port > ushort.MaxValue)
            {
                return false;
            }

            rest = rest[..colon];
        }

        host = rest.Trim('[', ']');
        return host.Length > 0 && !host.Contains('/') && !host.Contains('?');
    }
}
