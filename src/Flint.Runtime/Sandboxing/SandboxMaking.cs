namespace Flint.Runtime.Sandboxing;

/// <summary>What an engine spent on a sandbox before anyone asked for it, by its own clock; zero for what it does not do or tell.</summary>
/// <param name="Make">The empty sandbox, until its first process stands inside its walls.</param>
/// <param name="Fork">The wait for the zygote's turn, and the fork.</param>
/// <param name="Enter">The forked guest entering the sandbox and giving up its rights, until it waits for code.</param>
public readonly record struct SandboxMaking(TimeSpan Make, TimeSpan Fork, TimeSpan Enter);
