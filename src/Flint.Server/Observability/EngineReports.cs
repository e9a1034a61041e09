using Flint.Runtime.Sandboxing;

namespace Flint.Server.Observability;

/// <summary>What the engines find on this host and of their own helpers, looked at again when it is no longer fresh. Thread-safe.</summary>
internal sealed class EngineReports(IEnumerable<ISandboxEngine> engines, TimeProvider time) : IDisposable
{
    /// <summary>A probe of an engine that could not start makes processes; whoever asks for health often must not cause one each time.</summary>
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);
    private readonly SemaphoreSlim _gate = new(1, 1);
    private volatile Looked? _last;

    public void Dispose() => _gate.Dispose();

    public async ValueTask<IReadOnlyList<EngineReport>> GetAsync(CancellationToken cancellationToken)
    {
        if (Known() is { } known)
        {
            return known;
        }

        await _gate.WaitAsync(cancellationToken);
        try
        {
            if (Known() is { } meanwhile)
            {
                return meanwhile;
            }

            var reports = await Task.WhenAll(engines.Select(engine => engine.ProbeAsync(cancellationToken)));
            _last = new Looked(reports, time.GetTimestamp());
            return reports;
        }
        finally
        {
            _gate.Release();
        }
    }

    private IReadOnlyList<EngineReport>? Known() => _last is { } last && time.GetElapsedTime(last.At) < Fresh ? last.Reports : null;

    private sealed record Looked(IReadOnlyList<EngineReport> Reports, long At);
}
