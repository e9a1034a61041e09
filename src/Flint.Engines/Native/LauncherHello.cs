using System.Text.Json;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>What the launcher says of itself and the host: the body of HELLO and the output of <c>flint-launcher probe</c>.</summary>
internal sealed record LauncherHello
{
    public int Protocol { get; init; }
    /// <summary>Guests can be forked from zygotes.</summary>
    public bool Zygotes { get; init; }
    /// <summary>Initialised guests can be kept as templates.</summary>
    public bool Snapshots { get; init; }
    /// <summary>Cells can be made with a way out.</summary>
    public bool Egress { get; init; }
    /// <summary><c>root</c>, <c>subuid</c> or <c>single-uid</c>.</summary>
    public string Mode { get; init; } = "";
    public string Kernel { get; init; } = "";
    /// <summary><c>v2</c>, <c>hybrid</c>, <c>v1</c> or <c>none</c>.</summary>
    public string Cgroup { get; init; } = "";
    public bool Memory { get; init; }
    public bool Pids { get; init; }
    public bool Cpu { get; init; }
    /// <summary><c>v2</c>, <c>v1</c> or <c>none</c>.</summary>
    public string Freezer { get; init; } = "none";
    public bool PeakReset { get; init; }
    public bool Seccomp { get; init; }
    public IReadOnlyList<string> Descriptors { get; init; } = [];
    public IReadOnlyList<LauncherFinding> Missing { get; init; } = [];

    /// <summary>Why <paramref name="what"/> is missing, with advice, in the launcher's words; null when it does not say.</summary>
    public LauncherFinding? WhyNot(string what) => Missing.FirstOrDefault(finding => finding.What == what);

    /// <summary>Throws <see cref="EngineException"/> for a launcher that speaks another protocol.</summary>
    public static LauncherHello Parse(string json)
    {
        var hello = JsonSerializer.Deserialize<LauncherHello>(json, JsonSerializerOptions.Web)
            ?? throw new InvalidDataException("The launcher's HELLO is empty.");
        return hello.Protocol == LauncherRequests.Version ? hello : throw OtherProtocol(hello.Protocol);
    }

    public static EngineException OtherProtocol(int version) => new(
        $"The launcher speaks protocol {version} and this server protocol {LauncherRequests.Version}: they are not of one build. Run ./run, which builds both, or set Flint:Sandbox:Native:LauncherPath to the launcher that came with this server.");
}

/// <summary>Something that the host does not offer, why, and what would help.</summary>
internal sealed record LauncherFinding(string What, string Why, string Fix);
