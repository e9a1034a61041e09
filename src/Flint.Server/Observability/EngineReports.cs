using Flint.Runtime.Sandboxing;

namespace Flint.Server.Observability;

/// <summary>What the engines found on this host, looked at once: a host does not change under a running server. Thread-safe.</summary>
internal sealed class EngineReports(IEnumerable<ISandboxEngine> engines) : IDisposable
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private volatile IReadOnlyList<EngineReport>? _reports;

    public void Dispose() => _gate.Dispose();

    public async ValueTask<IReadOnlyList<EngineReport>> GetAsync(CancellationToken cancellationToken)
    {
        if (_reports is { } known)
        {
            return known;
        }

        await _gate.WaitAsync(cancellationToken);
        try
        {
            return _reports ??= await Task.WhenAll(engines.Select(engine => engine.ProbeAsync(cancellationToken)));
        }
        finally
        {
            _gate.Release();
        }
    }
}
