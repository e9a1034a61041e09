namespace Flint.Runtime.Sandboxing;

/// <summary>How the guest's first process ended.</summary>
/// <param name="ExitCode">Its exit code, or null when a signal ended it or nothing is known.</param>
/// <param name="Signal">The signal that ended it, or null.</param>
/// <param name="OutOfMemory">The sandbox's memory limit was hit and the sandbox was killed for it.</param>
/// <param name="KilledByPlatform">Flint killed it (timeout, cancel, destroy), or the engine lost it.</param>
public sealed record SandboxExit(int? ExitCode, int? Signal, bool OutOfMemory, bool KilledByPlatform)
{
    public override string ToString() => (OutOfMemory, Signal, ExitCode) switch
    {
        (true, _, _) => "killed at its memory limit",
        (_, int signal, _) => $"killed by signal {signal}",
        (_, _, int code) => $"exit status {code}",
        _ => "ended for an unknown reason",
    };
}
