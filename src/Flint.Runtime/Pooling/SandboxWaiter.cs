using Flint.Runtime.Invocation;

namespace Flint.Runtime.Pooling;

/// <summary>Somebody who waits for a sandbox. Settled exactly once, under the lock of <see cref="SandboxPools"/>.</summary>
internal sealed class SandboxWaiter(SandboxPool pool, FunctionSpec spec, long since)
{
    private readonly TaskCompletionSource<PooledSandbox> _grant = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public SandboxPool Pool { get; } = pool;
    public FunctionSpec Spec { get; } = spec;
    public long Since { get; } = since;

    /// <summary>Its place in the worker's queue; null when it waits no more.</summary>
    public LinkedListNode<SandboxWaiter>? Node { get; set; }

    /// <summary>Its place in its pool's queue; null when it waits no more, or wants a fresh sandbox.</summary>
    public LinkedListNode<SandboxWaiter>? PoolNode { get; set; }

    /// <summary>Faults with <see cref="ThrottledException"/>, or is cancelled.</summary>
    public Task<PooledSandbox> Grant => _grant.Task;

    public void GrantLocked(PooledSandbox sandbox) => _grant.SetResult(sandbox);

    public void RefuseLocked(Exception reason) => _grant.SetException(reason);

    public void CancelLocked(CancellationToken token) => _grant.SetCanceled(token);
}

/// <summary>A limit refused an invocation before it ran. The message names the knob and its value.</summary>
internal sealed class ThrottledException(string message) : Exception(message);
