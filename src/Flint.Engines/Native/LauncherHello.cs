using System.Text.Json;

namespace Flint.Engines.Native;

/// <summary>What the launcher says of itself and the host: the body of HELLO and the output of <c>flint-launcher probe</c>.</summary>
internal sealed record LauncherHello
{
    public int Protocol { get; init; }
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

    public static LauncherHello Parse(string json) =>
        JsonSerializer.Deserialize<LauncherHello>(json, JsonSerializerOptions.Web)
        ?? throw new InvalidDataException("The launcher's HELLO is empty.");
}

/// <summary>Something that the host does not offer, why, and what would help.</summary>
internal sealed record LauncherFinding(string What, string Why, string Fix);
