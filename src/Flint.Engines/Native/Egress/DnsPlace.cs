using System.Net;

namespace Flint.Engines.Native.Egress;

/// <summary>One question's or connection's place, counted for both.</summary>
internal sealed record DnsPlace(IPAddress Sandbox, string Function);
