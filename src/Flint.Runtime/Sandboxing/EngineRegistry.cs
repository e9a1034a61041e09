using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Sandboxing;

/// <summary>An engine as health sees it.</summary>
/// <param name="Capabilities">Null when the engine is not available.</param>
/// <param name="Unavailable">Why it cannot be used, with advice; null when it can.</param>
public sealed record EngineStatus(string Name, EngineCapabilities? Capabilities, string? Unavailable);

/// <summary>
/// The engines by name. One that fails to start is unavailable with its reason, and the others work; a function that asks for it
/// gets that reason. Thread-safe once started.
/// </summary>
public sealed partial class EngineRegistry : IAsyncDisposable
{
    private readonly Dictionary<string, Slot> _slots;
    private readonly SandboxJanitor _janitor;
    private readonly ILogger<EngineRegistry> _logger;
    private bool _disposed;

    public EngineRegistry(IEnumerable<ISandboxEngine> engines, SandboxJanitor janitor, ILogger<EngineRegistry> logger)
    {
        _slots = engines.ToDictionary(engine => engine.Name, engine => new Slot(engine), StringComparer.Ordinal);
        _janitor = janitor;
        _logger = logger;
    }

    public IReadOnlyList<EngineStatus> Engines => [.. _slots.Values.Select(slot => slot.Status).OrderBy(status => status.Name, StringComparer.Ordinal)];

    /// <summary>Null when there is no engine of that name.</summary>
    public EngineStatus? Find(string name) => _slots.TryGetValue(name, out var slot) ? slot.Status : null;

    /// <summary>What the engine can do now; null when there is none of that name. No allocation: every record asks.</summary>
    public EngineCapabilities? Capabilities(string name) => _slots.TryGetValue(name, out var slot) ? slot.Engine.Capabilities : null;

    /// <summary>See <see cref="ISandboxEngine.BootVariable"/>; null when there is no engine of that name.</summary>
    public string? BootVariable(string name, string runtime, IReadOnlyDictionary<string, string> environment) =>
        _slots.TryGetValue(name, out var slot) ? slot.Engine.BootVariable(runtime, environment) : null;

    /// <summary>Starts all engines side by side. An engine's failure is kept, never thrown.</summary>
    public Task StartAsync(CancellationToken cancellationToken) =>
        Task.WhenAll(_slots.Values.Select(slot => StartAsync(slot, cancellationToken)));

    /// <summary>What each engine finds on this host, for doctor and health; works before the start too.</summary>
    public Task<EngineReport[]> ProbeAsync(CancellationToken cancellationToken) =>
        Task.WhenAll(_slots.Values.Select(slot => slot.Engine.ProbeAsync(cancellationToken)));

    /// <summary>Makes a guarded sandbox. Throws nothing but <see cref="EngineException"/>, <see cref="SnapshotUnsafeException"/> and the token's cancellation.</summary>
    internal async Task<GuardedSandbox> CreateAsync(string engine, SandboxSpec spec, CancellationToken cancellationToken)
    {
        if (!_slots.TryGetValue(engine, out var slot))
        {
            throw new EngineException($"There is no engine '{engine}' on this server; it has {Names()}.");
        }
        if (slot.Status.Unavailable is { } reason)
        {
            throw new EngineException($"The engine '{engine}' is not available: {reason}");
        }
        if (slot.Refusal(spec) is { } refusal)
        {
            // Checked when the function was deployed; a host, or a launcher that was restarted on it, may have lost the ability since.
            throw new EngineException(refusal);
        }
        try
        {
            return new GuardedSandbox(await slot.Engine.CreateAsync(spec, cancellationToken), sandbox => _janitor.Discard(sandbox));
        }
        catch (Exception exception) when (exception is not EngineException and not SnapshotUnsafeException and not OperationCanceledException)
        {
            throw new EngineException($"The engine '{engine}' failed to make a sandbox: {exception.Message}", exception);
        }
        catch (OperationCanceledException exception) when (!cancellationToken.IsCancellationRequested)
        {
            throw new EngineException($"The engine '{engine}' gave up making a sandbox.", exception);
        }
    }

    internal bool CanFreeze(string engine) => _slots.TryGetValue(engine, out var slot) && slot.Status.Capabilities is { Freeze: true };

    /// <summary>Idempotent: shutdown calls it before the container does.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, true))
        {
            return;
        }
        foreach (var slot in _slots.Values)
        {
            try
            {
                await slot.Engine.DisposeAsync();
            }
            catch (Exception exception)
            {
                // The process is ending: the other engines must still be told.
                LogDisposeFailed(_logger, exception, slot.Engine.Name);
            }
        }
    }

    private async Task StartAsync(Slot slot, CancellationToken cancellationToken)
    {
        var name = slot.Engine.Name;
        try
        {
            await slot.Engine.StartAsync(cancellationToken);
            slot.Failure = null;
            LogStarted(_logger, name, string.Join(", ", slot.Engine.Capabilities.Runtimes));
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            slot.Failure = exception.Message;
            LogUnavailable(_logger, exception, name);
        }
    }

    private string Names() => _slots.Count == 0 ? "none" : string.Join(", ", _slots.Keys.Order(StringComparer.Ordinal));

    [LoggerMessage(1111, LogLevel.Information, "The engine {Engine} is up with {Runtimes}")]
    private static partial void LogStarted(ILogger logger, string engine, string runtimes);

    [LoggerMessage(1112, LogLevel.Warning, "The engine {Engine} is not available")]
    private static partial void LogUnavailable(ILogger logger, Exception exception, string engine);

    [LoggerMessage(1113, LogLevel.Warning, "The engine {Engine} did not stop cleanly")]
    private static partial void LogDisposeFailed(ILogger logger, Exception exception, string engine);

    private sealed class Slot(ISandboxEngine engine)
    {
        private volatile string? _failure = "It has not been started.";

        public ISandboxEngine Engine { get; } = engine;

        /// <summary>Why it did not start; null when it did.</summary>
        public string? Failure { set => _failure = value; }

        /// <summary>As the engine is now: its helper may have been restarted on a host that offers something else than before.</summary>
        public EngineStatus Status => _failure is { } failure
            ? new EngineStatus(Engine.Name, null, failure)
            : new EngineStatus(Engine.Name, Engine.Capabilities, Engine.Trouble);

        /// <summary>What the spec asks for and the engine cannot do here; null when it can.</summary>
        public string? Refusal(SandboxSpec spec) => (spec, Engine.Capabilities) switch
        {
            ({ Snapshot: true }, { NoSnapshot: { } reason }) => $"The engine '{Engine.Name}' cannot do freshness snapshot on this host: {reason}",
            ({ Network: NetworkAccess.Egress }, { NoEgress: { } reason }) => $"The engine '{Engine.Name}' cannot do network egress on this host: {reason}",
            _ => null,
        };
    }
}
