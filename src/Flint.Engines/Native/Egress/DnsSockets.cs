using System.Net.Sockets;

namespace Flint.Engines.Native.Egress;

/// <summary>The router's port 53: the launcher's EGRESS. While they are open the router's namespace exists, so they end with the launcher.</summary>
internal sealed record DnsSockets(Socket Udp, Socket Tcp);
