using System.Text.Json;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 11: there is no network but the sandbox's own loopback.</summary>
internal static class NetworkAttacks
{
    private const string Own = """{"own":true,"host":"","port":0,"name":"own","paths":[]}""";

    public static IReadOnlyList<Attack> All { get; } =
    [
        new(11, "a service on the host's loopback", "network.connect")
        {
            Control = Own,
            Hostile = JsonSerializer.Serialize(new { own = false, host = "127.0.0.1", port = HostServices.Port }),
            Wall = "net",
        },
        new(11, "an abstract socket of the host's", "network.abstract_socket")
        {
            In = Languages.Python,
            Control = Own,
            Hostile = JsonSerializer.Serialize(new { own = false, name = HostServices.AbstractName }),
            Wall = "net",
        },
        new(11, "the cloud's metadata service", "network.connect") { Control = Own, Hostile = """{"own":false,"host":"169.254.169.254","port":80}""", Structural = "no route" },
        new(11, "a public address", "network.connect") { Control = Own, Hostile = """{"own":false,"host":"1.1.1.1","port":53}""", Structural = "no route" },
        new(11, "a public IPv6 address", "network.connect") { Control = Own, Hostile = """{"own":false,"host":"2606:4700:4700::1111","port":53}""", Structural = "no route" },
        new(11, "interfaces beside the loopback", "network.interfaces") { Control = """{"others":false}""", Hostile = """{"others":true}""", Wall = "net" },
        new(11, "sockets of odd families (raw, packet, vsock, alg, xdp ...)", "network.families")
        {
            In = Languages.Python,
            Control = """{"families":["unix","inet"]}""",
            Hostile = """{"families":["raw","packet","vsock","alg","xdp","bluetooth","can","tipc","rds","key","nfc","kcm"]}""",
            Wall = "seccomp",
        },
        new(11, "sockets of the host's services", "network.unix_paths")
        {
            In = Languages.Python,
            Control = """{"own":true,"paths":[]}""",
            Hostile = """{"own":false,"paths":["/var/run/docker.sock","/run/docker.sock","/run/containerd/containerd.sock","/run/dbus/system_bus_socket","/run/systemd/private","/run/postgresql/.s.PGSQL.5432","/tmp/.X11-unix/X0","/dev/log"]}""",
            Structural = "the root has none of these",
        },
    ];
}
