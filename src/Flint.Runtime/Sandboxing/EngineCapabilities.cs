namespace Flint.Runtime.Sandboxing;

/// <summary>What an engine can do on this host.</summary>
/// <param name="Runtimes">Concrete runtime names, such as <c>python3.11</c>.</param>
/// <param name="Freeze">Idle sandboxes can be frozen.</param>
/// <param name="PeakMemory">Peak memory per invocation is known.</param>
/// <param name="Unenforced">
/// Limits that this host cannot enforce and that the operator allowed to be missing
/// (<c>Flint:Sandbox:AllowUnenforced</c>): <c>memory</c>, <c>pids</c>, <c>cpu</c>. Records show them.
/// </param>
public sealed record EngineCapabilities(
    IReadOnlyList<string> Runtimes, bool Freeze, bool PeakMemory, IReadOnlyList<string> Unenforced)
{
    /// <summary>Why <see cref="SandboxSpec.Snapshot"/> is refused on this host; null when it can be had.</summary>
    public string? NoSnapshot { get; init; } = "this engine has no snapshots";

    /// <summary>Why <see cref="NetworkAccess.Egress"/> is refused on this host; null when it can be had.</summary>
    public string? NoEgress { get; init; } = "this engine has no egress network";

    /// <summary>Why <see cref="SandboxSpec.CpuQuotaMilli"/> is refused on this host; null when it is enforced, or may go unenforced.</summary>
    public string? NoCpuQuota { get; init; } = "this engine has no CPU quota";
}
