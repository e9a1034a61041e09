using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>How a sandbox was really started.</summary>
/// <param name="Mode">Forked or executed.</param>
/// <param name="Reason">Why it was executed although a fork was asked for; null when it was not.</param>
/// <param name="Environment">What a forked guest must be told; null for an executed one, which has it.</param>
/// <param name="Snapshot">Its process becomes a template.</param>
internal sealed record SandboxStart(StartMode Mode, string? Reason, IReadOnlyDictionary<string, string>? Environment, bool Snapshot);
