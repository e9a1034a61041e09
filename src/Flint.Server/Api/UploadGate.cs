using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>
/// Lets few large bodies be in memory at a time; the others wait in their sockets. Nobody holds a place for long, since a body's time is limited
/// (<c>Flint:Http:BodyTimeoutMs</c>), and nobody waits longer than that.
/// </summary>
internal sealed class UploadGate(BodyBudget bodies, TimeProvider time) : IDisposable
{
    private const long Large = 1024 * 1024;
    private const int AtOnce = 4;

    private readonly SemaphoreSlim _slots = new(AtOnce, AtOnce);

    public void Dispose() => _slots.Dispose();

    /// <summary>Dispose the answer when the body is no longer held. A body of unknown length counts as large.</summary>
    public async ValueTask<Slot> EnterAsync(long? length, CancellationToken cancellationToken)
    {
        if (length <= Large)
        {
            return default;
        }

        using var patience = new CancellationTokenSource(bodies.Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            await _slots.WaitAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new RefusedException("throttled", $"{AtOnce} large bodies are being received, as many as may be at a time. Try again later.",
                limit: $"{AtOnce} bodies of more than {Large} bytes");
        }

        return new Slot(_slots);
    }

    internal readonly struct Slot(SemaphoreSlim? slots) : IDisposable
    {
        public void Dispose() => slots?.Release();
    }
}
