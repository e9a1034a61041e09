using System.Net;
using System.Net.Sockets;

namespace Flint.Security.Tests.Harness;

/// <summary>Services of the host that no sandbox may reach; open as long as the test run lasts. Connections wait in the backlog, unread.</summary>
internal static class HostServices
{
    private static readonly Socket Tcp = Listen(new IPEndPoint(IPAddress.Loopback, 0), ProtocolType.Tcp);

    // A name that begins with NUL belongs to the network namespace, not to any file system.
    private static readonly Socket Abstract = Listen(new UnixDomainSocketEndPoint("\0" + AbstractName), ProtocolType.Unspecified);

    public static string AbstractName => $"flint-security-{Environment.ProcessId}";

    public static int Port => ((IPEndPoint)Tcp.LocalEndPoint!).Port;

    public static bool AreOpen => Tcp.IsBound && Abstract.IsBound;

    private static Socket Listen(EndPoint address, ProtocolType protocol)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, protocol);
        socket.Bind(address);
        socket.Listen(16);
        return socket;
    }
}
