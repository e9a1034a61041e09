namespace Flint.Runtime.Loops;

/// <summary>What one run of a loop did.</summary>
/// <param name="Handled">How many things it dealt with; zero keeps the log quiet.</param>
/// <param name="NextIn">When to run again if nothing wakes the loop before; null means its usual period.</param>
public readonly record struct LoopRun(int Handled, TimeSpan? NextIn = null);

/// <summary>A loop as health and the dashboard see it: an immutable snapshot, replaced after every run.</summary>
/// <param name="Lateness">How long after its planned time the last run began: the early sign of a starved process.</param>
/// <param name="LastError">The last failure's message, kept until a run succeeds; null when the last run succeeded.</param>
public sealed record LoopState(
    string Name, long Runs, long Failures, DateTimeOffset? LastStarted, DateTimeOffset? LastCompleted, TimeSpan Lateness, string? LastError);
