using System.Net.Sockets;

namespace Flint.Engines.Native.Egress;

/// <summary>The router's port 53: the launcher's EGRESS. The session that got them closes them at its end; whoever serves them has stopped or sees it then.</summary>
internal sealed record DnsSockets(Socket Udp, Socket Tcp) : IDisposable
{
    public void Dispose()
    {
        Udp.Dispose();
        Tcp.Dispose();
    }
}
