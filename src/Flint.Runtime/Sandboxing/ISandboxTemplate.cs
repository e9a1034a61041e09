namespace Flint.Runtime.Sandboxing;

/// <summary>
/// The initialised process of a sandbox that was made with <see cref="SandboxSpec.Snapshot"/>. It runs no event itself. One fork lives at a time: the
/// caller destroys a fork before it asks for the next. Not thread-safe.
/// </summary>
public interface ISandboxTemplate
{
    /// <summary>
    /// Forks the process. The fork is a sandbox of its own to its user: channel, raw output and exit are its own, freezing and peak memory those of the whole; a guest protocol connection on it
    /// begins after INIT_OK and serves one event. Its <see cref="ISandbox.DestroyAsync"/> completes when all of it is dead and /tmp is as init left it; the template lives on. Once the whole sandbox is destroyed, that of a fork
    /// completes at once and lets its descriptors go.
    /// Throws <see cref="SnapshotUnsafeException"/> when the process cannot be a template (found by the first call), and <see cref="EngineException"/> when the template is gone.
    /// </summary>
    Task<ISandbox> ForkAsync(CancellationToken cancellationToken);
}

/// <summary>The function's process holds something that a fork would lose or share.</summary>
/// <param name="findings">Each a sentence that names what was found, such as <c>a thread "worker-1"</c>; guest text in it is already made printable.</param>
public sealed class SnapshotUnsafeException(IReadOnlyList<string> findings)
    : Exception($"The process cannot be kept as a snapshot: {string.Join("; ", findings)}.")
{
    public IReadOnlyList<string> Findings { get; } = findings;

    /// <summary>What the function's author can do about it, in a sentence; null when the usual advice fits, which is about what the function starts while it is initialised.</summary>
    public string? Advice { get; init; }
}
