using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Pooling;

/// <summary>Guests that end, and sandboxes that have to be killed, while somebody uses them or nobody does.</summary>
public sealed partial class SandboxPools
{
    /// <summary>
    /// What a guest had sent is still read for this long after its first process has ended or its time was up; then it is killed, because a process that
    /// outlived it may hold the channel open.
    /// </summary>
    private static readonly TimeSpan LastWords = TimeSpan.FromMilliseconds(250);

    private void Watch(PooledSandbox slot, GuardedSandbox sandbox) => _ = sandbox.Exited.ContinueWith(
        static (_, state) =>
        {
            var (pools, slot, sandbox) = ((SandboxPools, PooledSandbox, GuardedSandbox))state!;
            pools.OnExited(slot, sandbox);
        },
        (this, slot, sandbox), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    /// <summary>The first process of a sandbox has ended, or that of a snapshot's fork.</summary>
    private void OnExited(PooledSandbox slot, GuardedSandbox exited)
    {
        List<PooledSandbox>? discards = null;
        bool idle, busy;
        lock (_lock)
        {
            var current = exited == slot.Sandbox || exited == slot.Fork;
            (idle, busy) = (current && slot.State == PooledSandbox.Phase.Idle, current && slot.State == PooledSandbox.Phase.Busy);
            if (slot.State == PooledSandbox.Phase.Renewing && exited == slot.Sandbox)
            {
                CloseLocked(slot);
                ServeWaitersLocked();
                discards = TakeDiscardsLocked();
            }
        }
        Destroy(discards);
        if (idle)
        {
            DropIdle(slot);
        }
        else if (busy)
        {
            KillSoon(exited);
        }
    }

    /// <summary>Kills a sandbox that an invocation still reads, after a moment for its last words.</summary>
    internal void KillSoon(GuardedSandbox sandbox) => _ = KillAsync(sandbox);

    /// <summary>Cannot fault: the delay has no token and the janitor does not throw.</summary>
    private async Task KillAsync(GuardedSandbox sandbox)
    {
        await Task.Delay(LastWords, _time, CancellationToken.None);
        _janitor.Discard(sandbox);
    }

    /// <summary>Closes an idle sandbox that turned out to be unfit; nothing happens when it is not idle any more.</summary>
    internal void DropIdle(PooledSandbox slot)
    {
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            if (slot.State != PooledSandbox.Phase.Idle || !slot.Pool.RemoveLocked(slot))
            {
                return;
            }
            UnlistLocked(slot);
            CloseLocked(slot);
            _counters = _counters with { DiedIdle = _counters.DiedIdle + 1 };
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
    }
}
