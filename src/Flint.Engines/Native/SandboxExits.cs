using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>What the launcher says of a process's end, as the runtime wants to hear it.</summary>
internal static class SandboxExits
{
    private const uint Kill = 9;

    /// <summary>It went away with what it lived in.</summary>
    public static SandboxExit Lost { get; } = new(null, null, false, KilledByPlatform: true);

    /// <param name="code">Meant when there was no signal.</param>
    /// <param name="signal">0: none.</param>
    /// <param name="outOfMemory">The launcher or the kernel killed it at its memory limit.</param>
    /// <param name="killed">Flint had asked for its end, which comes as SIGKILL: a process that left with a code or by another signal was faster, and left by itself.</param>
    public static SandboxExit Of(uint code, uint signal, bool outOfMemory, bool killed) =>
        new(signal == 0 ? (int)code : null, signal == 0 ? null : (int)signal, outOfMemory, killed && signal == Kill && !outOfMemory);
}
