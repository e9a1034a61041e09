namespace Flint.Server.Api;

/// <summary>Lets few large bodies be in memory at a time; the others wait in their sockets.</summary>
internal sealed class UploadGate : IDisposable
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

        await _slots.WaitAsync(cancellationToken).ConfigureAwait(false);
        return new Slot(_slots);
    }

    internal readonly struct Slot(SemaphoreSlim? slots) : IDisposable
    {
        public void Dispose() => slots?.Release();
    }
}
