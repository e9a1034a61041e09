using System.Net;

namespace Flint.Engines.Native.Egress;

/// <summary>The network of functions that have one: <c>Flint:Sandbox:Egress</c>. docs/network.md says what is open without any of this.</summary>
public sealed class EgressOptions
{
    /// <summary>Whether functions may have <c>network: egress</c> at all. Default true; where the host lacks what it takes they are refused with the reason.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>
    /// Addresses and CIDR ranges, of both families, that are opened although they are private or otherwise special. An address of the host itself is opened only
    /// by an entry for that one address. Default: none.
    /// </summary>
    public string[] Allow { get; set; } = [];

    /// <summary>Addresses and CIDR ranges that are closed beside the special ones: the host's address behind a translation, say. Wins over <c>Allow</c>. Default: none.</summary>
    public string[] Deny { get; set; } = [];

    /// <summary>Addresses of the DNS servers that names are asked of, over port 53. Default: empty, those of the host's /etc/resolv.conf.</summary>
    public string[] Resolvers { get; set; } = [];

    /// <summary>Connections of one sandbox at a time, in each address family. Range 1 to 65535; default 512, half of Lambda's limit of open files.</summary>
    public int MaxConnections { get; set; } = 512;

    /// <summary>All problems of these settings; empty when there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var problems = new List<string>();
        CheckRanges(problems, nameof(Allow), Allow);
        CheckRanges(problems, nameof(Deny), Deny);
        problems.AddRange(Resolvers
            .Where(static resolver => !IPAddress.TryParse(resolver, out _))
            .Select(static resolver => $"Flint:Sandbox:Egress:Resolvers has '{resolver}'; it must be an IP address."));
        if (MaxConnections is < 1 or > 65535)
        {
            problems.Add($"Flint:Sandbox:Egress:MaxConnections is {MaxConnections}; it must be 1 to 65535.");
        }

        return problems;
    }

    /// <summary>What the launcher is told.</summary>
    internal IEnumerable<string> LauncherArguments()
    {
        if (!Enabled)
        {
            return [];
        }

        List<string> arguments = ["--egress", "on", "--egress-connections", MaxConnections.ToString(System.Globalization.CultureInfo.InvariantCulture)];
        if (Allow.Length > 0)
        {
            arguments.AddRange(["--egress-allow", string.Join(',', Allow.Select(Canonical))]);
        }

        if (Deny.Length > 0)
        {
            arguments.AddRange(["--egress-deny", string.Join(',', Deny.Select(Canonical))]);
        }

        return arguments;
    }

    // The launcher reads addresses as strictly as inet_pton, .NET also reads 10.1 and 0x7f.1: what it has understood is written out.
    private static string Canonical(string range) => AddressRanges.Parse(range)!.Value.ToString();

    private static void CheckRanges(List<string> problems, string name, string[] ranges) =>
        problems.AddRange(ranges
            .Where(static range => AddressRanges.Parse(range) is null)
            .Select(range => $"Flint:Sandbox:Egress:{name} has '{range}'; it must be an address or a CIDR range without bits beyond its prefix length, such as 10.1.2.0/24."));
}
