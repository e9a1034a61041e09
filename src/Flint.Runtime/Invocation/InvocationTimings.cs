using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Invocation;

/// <summary>How long each phase took, by the monotonic clock; zero for a phase that did not happen.</summary>
/// <param name="Queue">Waiting for a sandbox or for room to make one.</param>
/// <param name="Create">The engine making a sandbox: a cell or a fork that was ready, its limits and mounts, and the guest's process in it.</param>
/// <param name="Boot">The guest's process coming up, until its READY.</param>
/// <param name="Init">The guest loading the handler, and for a snapshot the first fork.</param>
/// <param name="Prepare">Thawing.</param>
/// <param name="Run">From handing the event over to the answer, its output drained.</param>
/// <param name="Making">What the sandbox had cost before it was asked for; zero on a warm start. Not one of the phases: nobody waited for it.</param>
public readonly record struct InvocationTimings(TimeSpan Queue, TimeSpan Create, TimeSpan Boot, TimeSpan Init, TimeSpan Prepare, TimeSpan Run, SandboxMaking Making);
