using System.Net;
using System.Net.Sockets;

namespace Flint.Engines.Native.Egress;

/// <summary>
/// Which addresses are not the public internet's. What the launcher tells the kernel of sandboxes (native/src/egress_rules.c; a test compares the lists) for requests that the server makes itself.
/// </summary>
public static class AddressRanges
{
    /// <summary>What means the host itself, or no single host.</summary>
    internal static readonly IReadOnlyList<IPNetwork> Never = Networks(
        "0.0.0.0/8", "127.0.0.0/8", "198.18.0.0/15", "224.0.0.0/4", "255.255.255.255/32",
        "::/64", "fe80::/10", "ff00::/8", "fd46:6c69:6e74::/48");

    /// <summary>What is not globally reachable, deprecated or reserved, and the clouds' metadata services.</summary>
    internal static readonly IReadOnlyList<IPNetwork> Special = Networks(
        "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "168.63.129.16/32",
        "::/3", "4000::/2", "8000::/1", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20");

    /// <summary>An address or a CIDR range without bits beyond its prefix length; null for anything else.</summary>
    public static IPNetwork? Parse(string range)
    {
        if (range.Contains('%', StringComparison.Ordinal))
        {
            return null;
        }

        var slash = range.IndexOf('/', StringComparison.Ordinal);
        if (!IPAddress.TryParse(slash < 0 ? range : range[..slash], out var address))
        {
            return null;
        }

        if (slash < 0)
        {
            return new IPNetwork(address, address.GetAddressBytes().Length * 8);
        }

        // Bits beyond the length are cut off by TryParse; somebody meant something by them.
        return IPNetwork.TryParse(range, out var network) && network.BaseAddress.Equals(address) ? network : null;
    }

    /// <summary>
    /// Whether an address may be connected to: the public internet's, and what is listed. This machine's addresses only by an entry for that one address, multicast and broadcast by none. An IPv4 address in
    /// IPv6's words counts as what it is.
    /// </summary>
    /// <param name="own">All addresses of this machine.</param>
    /// <param name="allowed">Opened beside the public ones.</param>
    public static bool IsOpen(IPAddress address, IReadOnlySet<IPAddress> own, IReadOnlyList<IPNetwork> allowed)
    {
        address = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : new IPAddress(address.GetAddressBytes());
        var exact = allowed.Any(range => range.PrefixLength == address.GetAddressBytes().Length * 8 && range.BaseAddress.Equals(address));
        if (own.Contains(address) || IPAddress.IsLoopback(address))
        {
            return exact;
        }

        return !Contains(Never, address) && (exact || Contains(allowed, address) || !Contains(Special, address));
    }

    private static bool Contains(IReadOnlyList<IPNetwork> ranges, IPAddress address) =>
        address.AddressFamily is AddressFamily.InterNetwork or AddressFamily.InterNetworkV6 && ranges.Any(range => range.BaseAddress.AddressFamily == address.AddressFamily && range.Contains(address));

    private static IPNetwork[] Networks(params string[] ranges) => [.. ranges.Select(static range => Parse(range) ?? throw new FormatException(range))];
}
