namespace Flint.Runtime.Sandboxing;

/// <summary>
/// One live sandbox. Not thread-safe beyond what members say; the pool uses it through the safety decorator, which makes it so.
/// On a dead sandbox every member but <see cref="Exited"/> and <see cref="DestroyAsync"/> throws <see cref="EngineException"/>.
/// </summary>
public interface ISandbox
{
    /// <summary>Unique on this worker for its lifetime; no secret.</summary>
    string Id { get; }

    /// <summary>The guest protocol's byte stream (guest/PROTOCOL.md), owned by the sandbox. End of stream: the guest closed it or died.</summary>
    Stream Channel { get; }

    /// <summary>How it was really started, which may differ from what was asked for; <see cref="StartReason"/> says why then.</summary>
    StartMode Start => StartMode.Exec;

    /// <summary>Why it was started by exec although a zygote was asked for; null when it was not.</summary>
    string? StartReason => null;

    /// <summary>What was spent on it ahead of demand.</summary>
    SandboxMaking Making => default;

    /// <summary>What INIT must carry because the process was not started with its environment; null when it was.</summary>
    IReadOnlyDictionary<string, string>? GuestEnvironment => null;

    /// <summary>Not null when it was made with <see cref="SandboxSpec.Snapshot"/>: to be used once the handler is loaded, instead of invoking it itself.</summary>
    ISandboxTemplate? Template => null;

    /// <summary>Completes once the guest's first process has ended, truthfully. Never faults.</summary>
    Task<SandboxExit> Exited { get; }

    /// <summary>
    /// Where bytes go that the guest writes to its raw stdout and stderr. Called on any thread, one call at a time per sandbox; must not
    /// block or throw. Bytes written while no handler is attached wait in the pipe, whose size bounds them.
    /// </summary>
    void AttachOutput(RawOutputHandler? handler);

    /// <summary>Completes when all raw output that was written before the call has been given to the handler.</summary>
    ValueTask DrainOutputAsync(CancellationToken cancellationToken);

    /// <summary>Stops every process in the sandbox from running. Idempotent. No-op where <see cref="EngineCapabilities.Freeze"/> is false.</summary>
    ValueTask FreezeAsync(CancellationToken cancellationToken);

    /// <summary>Undoes <see cref="FreezeAsync"/>; on the hot path, so it must be cheap. Idempotent.</summary>
    ValueTask ThawAsync(CancellationToken cancellationToken);

    /// <summary>Starts a new measurement of peak memory.</summary>
    void ResetPeakMemory();

    /// <summary>Peak bytes since <see cref="ResetPeakMemory"/>; null where the host cannot tell.</summary>
    long? ReadPeakMemory();

    /// <summary>
    /// Kills every process and removes everything. Returns without blocking, since it is called on threads that others wait for; completes when the host proves it empty. Idempotent, safe at any time and from any thread.
    /// Throws <see cref="EngineException"/> when something could not be removed; the janitor retries.
    /// </summary>
    Task DestroyAsync();
}

public delegate void RawOutputHandler(Guest.LogStream stream, ReadOnlySpan<byte> bytes);
