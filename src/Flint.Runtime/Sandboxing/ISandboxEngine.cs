namespace Flint.Runtime.Sandboxing;

/// <summary>Makes sandboxes. Knows no functions and no jobs: it gets a <see cref="SandboxSpec"/> and moves bytes. Thread-safe.</summary>
public interface ISandboxEngine : IAsyncDisposable
{
    /// <summary>The name that a function's <c>engine</c> setting uses.</summary>
    string Name { get; }

    /// <summary>What this host lets the engine do, since <see cref="StartAsync"/> has completed. A new object when that changes, as it may when a helper process is restarted.</summary>
    EngineCapabilities Capabilities { get; }

    /// <summary>Why a started engine can make no sandbox at this moment, such as a helper process that is being restarted; null when it can.</summary>
    string? Trouble => null;

    /// <summary>Probes the host and makes ready. Throws <see cref="EngineException"/> with advice when the engine cannot work at all.</summary>
    Task StartAsync(CancellationToken cancellationToken);

    /// <summary>Looks at the host without starting anything that lasts; works before and after <see cref="StartAsync"/>, and never throws for what it finds.</summary>
    Task<EngineReport> ProbeAsync(CancellationToken cancellationToken);

    /// <summary>
    /// The variable of a function's environment that only a start of its own can obey, so that the function can have no snapshot; null when there is none, also
    /// for a runtime that is not there.
    /// </summary>
    string? BootVariable(string runtime, IReadOnlyDictionary<string, string> environment) => null;

    /// <summary>
    /// Makes a sandbox with a booting guest in it. Returns without blocking, since it is called on threads that others wait for. The caller owns the sandbox and must destroy it.
    /// Throws <see cref="EngineException"/> when it cannot be made, <see cref="SnapshotUnsafeException"/> when the function's own settings keep it from being a snapshot; nothing is
    /// left behind then.
    /// </summary>
    Task<ISandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken);
}
