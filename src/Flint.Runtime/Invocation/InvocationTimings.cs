namespace Flint.Runtime.Invocation;

/// <summary>How long each phase took, by the monotonic clock; zero for a phase that did not happen.</summary>
/// <param name="Queue">Waiting for a sandbox or for room to make one.</param>
/// <param name="Create">The engine making a sandbox.</param>
/// <param name="Init">The guest loading the handler.</param>
/// <param name="Prepare">Thawing and resetting the peak.</param>
/// <param name="Run">From handing the event over to the answer, its output drained.</param>
public readonly record struct InvocationTimings(TimeSpan Queue, TimeSpan Create, TimeSpan Init, TimeSpan Prepare, TimeSpan Run);
