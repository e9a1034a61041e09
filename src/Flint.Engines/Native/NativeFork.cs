using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>One fork of a template: streams and exit of its own, freezing and memory figures of the whole sandbox.</summary>
internal sealed class NativeFork(NativeSandbox sandbox, SnapshotTemplate template, uint number, GuestStreams streams) : ISandbox
{
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private Task? _destroyed;
    private volatile bool _killed;

    public uint Number => number;

    public string Id { get; } = $"{sandbox.Id}.f{number}";

    public Stream Channel => streams.Channel;

    public StartMode Start => sandbox.Start;

    public Task<SandboxExit> Exited => _exited.Task;

    public void AttachOutput(RawOutputHandler? handler) => streams.Output.Attach(handler);

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        streams.Output.Drain();
        return ValueTask.CompletedTask;
    }

    public ValueTask FreezeAsync(CancellationToken cancellationToken)
    {
        RefuseDestroyed();
        return sandbox.FreezeAsync(cancellationToken);
    }

    public ValueTask ThawAsync(CancellationToken cancellationToken)
    {
        RefuseDestroyed();
        return sandbox.ThawAsync(cancellationToken);
    }

    public void ResetPeakMemory()
    {
        RefuseDestroyed();
        sandbox.ResetPeakMemory();
    }

    public long? ReadPeakMemory()
    {
        RefuseDestroyed();
        return sandbox.ReadPeakMemory();
    }

    public Task DestroyAsync()
    {
        lock (_lock)
        {
            if (_destroyed is null or { IsFaulted: true })
            {
                _destroyed = RenewAsync();
            }

            return _destroyed;
        }
    }

    public void OnExited(uint code, uint signal, bool outOfMemory) => _exited.TrySetResult(SandboxExits.Of(code, signal, outOfMemory, _killed));

    /// <summary>Nothing more will be heard of it.</summary>
    public void OnGone() => _exited.TrySetResult(SandboxExits.Lost);

    public void Close() => streams.Dispose();

    private async Task RenewAsync()
    {
        _killed = true;
        streams.Mute();
        try
        {
            await template.RenewAsync(this);
        }
        finally
        {
            OnGone();
            Close();
        }
    }

    private void RefuseDestroyed()
    {
        if (_destroyed is not null)
        {
            throw new EngineException($"Sandbox {Id} is being destroyed.");
        }
    }
}
