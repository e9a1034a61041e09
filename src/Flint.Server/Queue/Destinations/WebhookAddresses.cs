using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Flint.Engines.Native.Egress;

namespace Flint.Server.Queue.Destinations;

/// <summary>A webhook's host has no address that may be reached. Who set the webhook must change something.</summary>
internal sealed class AddressRefusedException(string host) : IOException(
    $"{Packages.EntryNames.Escape(host)} is no public address: webhooks reach private and special ones, and this machine, only where Flint:Webhooks:AllowPrivate lists them.");

/// <summary>
/// Connects to webhooks: the name is resolved here, each address checked, and the very address that was checked connected to, so that no second resolution can bring another. Thread-safe.
/// </summary>
internal sealed class WebhookAddresses(WebhookOptions options)
{
    private readonly IPNetwork[] _allowed = [.. options.AllowPrivate.Select(range => AddressRanges.Parse(range)!.Value)];

    /// <summary>How names are resolved; tests give their own.</summary>
    public Func<string, CancellationToken, Task<IPAddress[]>> Resolve { get; init; } = Dns.GetHostAddressesAsync;

    /// <summary>Throws <see cref="AddressRefusedException"/>, <see cref="SocketException"/> for a name that is not known, and what connecting throws.</summary>
    public async ValueTask<Stream> ConnectAsync(DnsEndPoint target, CancellationToken cancellationToken)
    {
        IPAddress[] addresses = IPAddress.TryParse(target.Host, out var literal) ? [literal] : await Resolve(target.Host, cancellationToken).ConfigureAwait(false);
        var own = Own();
        var open = addresses.Where(address => AddressRanges.IsOpen(address, own, _allowed)).ToArray();
        if (open.Length == 0)
        {
            throw new AddressRefusedException(target.Host);
        }

        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(open, target.Port, cancellationToken).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>For an early answer to whoever sets a webhook; a name is checked when it is connected to.</summary>
    public bool IsRefused(string host) => IPAddress.TryParse(host.Trim('[', ']'), out var address) && !AddressRanges.IsOpen(address, Own(), _allowed);

    /// <summary>Read anew each time: a machine's addresses change.</summary>
    private static HashSet<IPAddress> Own() =>
        [.. NetworkInterface.GetAllNetworkInterfaces().SelectMany(face => face.GetIPProperties().UnicastAddresses).Select(found => new IPAddress(found.Address.GetAddressBytes()))];
}
