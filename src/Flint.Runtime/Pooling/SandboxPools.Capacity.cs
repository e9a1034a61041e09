using System.Diagnostics;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;

namespace Flint.Runtime.Pooling;

/// <summary>Capacity: growing under the limits, waiting for room, making room.</summary>
public sealed partial class SandboxPools
{
    // All under _lock.
    /// <summary>First come, first served, over all functions.</summary>
    private readonly LinkedList<SandboxWaiter> _waiters = new();
    private long _waitingMemoryMb;
    private long _memoryMb;
    private int _closing;
    private long _closingMemoryMb;
    private bool _underPressure;

    private bool CanGrowLocked(int memoryMb) =>
        !_underPressure && _live.Count < _limits.MaxSandboxes && _memoryMb + memoryMb <= _limits.MemoryBudgetMb;

    /// <summary>As <see cref="CanGrowLocked"/>, once everything that is being destroyed is gone.</summary>
    private bool RoomIsComingLocked(int memoryMb) =>
        _live.Count - _closing < _limits.MaxSandboxes && _memoryMb - _closingMemoryMb + memoryMb <= _limits.MemoryBudgetMb;

    private PooledSandbox GrowLocked(SandboxPool pool, FunctionSpec spec)
    {
        var slot = new PooledSandbox(pool, spec);
        _live.Add(slot);
        _memoryMb += slot.MemoryMb;
        pool.Live++;
        _counters = _counters with { Created = _counters.Created + 1 };
        Debug.Assert(_live.Count <= _limits.MaxSandboxes && _memoryMb <= _limits.MemoryBudgetMb);
        return slot;
    }

    private void ShrinkLocked(PooledSandbox slot)
    {
        var removed = _live.Remove(slot);
        _memoryMb -= slot.MemoryMb;
        slot.Pool.Live--;
        Debug.Assert(removed && _memoryMb >= 0 && _closing >= 0 && slot.Pool.Live >= 0);
    }

    private SandboxWaiter EnqueueLocked(SandboxPool pool, FunctionSpec spec)
    {
        if (spec.MemoryMb > _limits.MemoryBudgetMb)
        {
            throw ThrottledLocked(
                $"The function's memory of {spec.MemoryMb} MB exceeds {SandboxOptions.Section}:MemoryBudgetMb = {_limits.MemoryBudgetMb} of this worker.");
        }
        if (_waiters.Count >= _limits.QueueLimit)
        {
            throw ThrottledLocked(
                $"{_waiters.Count} invocations wait for a sandbox, as many as {SandboxOptions.Section}:QueueLimit = {_limits.QueueLimit} allows; {ShortageLocked()}");
        }
        if (pool.Waiting >= Math.Max(1, _limits.QueueLimit / 2))
        {
            throw ThrottledLocked(
                $"{pool.Waiting} invocations of this function wait for a sandbox; one function may take half of {SandboxOptions.Section}:QueueLimit = {_limits.QueueLimit}; {ShortageLocked()}");
        }
        var waiter = new SandboxWaiter(pool, spec, _time.GetTimestamp());
        waiter.Node = _waiters.AddLast(waiter);
        waiter.PoolNode = spec.Freshness == Freshness.Warm ? pool.Waiters.AddLast(waiter) : null;
        pool.Waiting++;
        _waitingMemoryMb += spec.MemoryMb;
        return waiter;
    }

    private void DequeueLocked(SandboxWaiter waiter)
    {
        _waiters.Remove(waiter.Node!);
        waiter.Pool.Waiting--;
        if (waiter.PoolNode is { } node)
        {
            waiter.Pool.Waiters.Remove(node);
        }
        waiter.Node = null;
        waiter.PoolNode = null;
        _waitingMemoryMb -= waiter.Spec.MemoryMb;
    }

    private async Task<PooledSandbox> WaitAsync(SandboxWaiter waiter, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(_limits.QueueTimeout, _time);
        await using var onTimeout = timeout.Token.UnsafeRegister(_ => Withdraw(waiter, null), null);
        await using var onCancel = cancellationToken.UnsafeRegister(_ => Withdraw(waiter, cancellationToken), null);
        return await waiter.Grant;
    }

    /// <summary>Takes a waiter out of the queue by timeout (no token) or cancellation. One that has its grant keeps it.</summary>
    private void Withdraw(SandboxWaiter waiter, CancellationToken? cancelled)
    {
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            if (waiter.Node is null)
            {
                return;
            }
            DequeueLocked(waiter);
            if (cancelled is { } token)
            {
                waiter.CancelLocked(token);
            }
            else
            {
                waiter.RefuseLocked(ThrottledLocked(
                    $"No sandbox became free within {SandboxOptions.Section}:QueueTimeoutMs = {(long)_limits.QueueTimeout.TotalMilliseconds}; {ShortageLocked()}"));
            }
            // It may have stood before others that fit.
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
    }

    /// <summary>
    /// Grants what fits, in order of arrival. Smaller ones may pass one that is too large for the room there is, until it is
    /// <see cref="FairAfter"/> old. For those who still wait, idle sandboxes are evicted until enough room is coming.
    /// </summary>
    private void ServeWaitersLocked()
    {
        var node = _waiters.First;
        while (node is not null && !_underPressure && _live.Count < _limits.MaxSandboxes)
        {
            var (waiter, next) = (node.Value, node.Next);
            if (CanGrowLocked(waiter.Spec.MemoryMb))
            {
                DequeueLocked(waiter);
                waiter.GrantLocked(GrowLocked(waiter.Pool, waiter.Spec));
            }
            else if (_time.GetElapsedTime(waiter.Since) >= FairAfter)
            {
                break;
            }
            node = next;
        }
        while (_waiters.Count > 0 && ShortOfLocked() is { } reason && OldestVictimLocked(reason) is { } victim)
        {
            EvictLocked(victim);
        }
    }

    /// <summary>What is missing for all waiters to be granted once everything that is being destroyed is gone; null when nothing is.</summary>
    private EvictionReason? ShortOfLocked()
    {
        if (_live.Count - _closing + _waiters.Count > _limits.MaxSandboxes)
        {
            return EvictionReason.Count;
        }
        return _memoryMb - _closingMemoryMb + _waitingMemoryMb > _limits.MemoryBudgetMb ? EvictionReason.Memory : null;
    }

    /// <summary>True when a returned sandbox must die because another function's waiter has waited too long for room.</summary>
    private bool MustYieldLocked(PooledSandbox slot) =>
        _waiters.First is { Value: { } head } && head.Pool != slot.Pool
        && !RoomIsComingLocked(head.Spec.MemoryMb) && _time.GetElapsedTime(head.Since) >= FairAfter;

    private PooledSandbox? OldestVictimLocked(EvictionReason reason)
    {
        PooledSandbox? victim = null;
        EvictionCandidate worst = default;
        foreach (var pool in _pools.Values)
        {
            if (pool.OldestIdle is not { } oldest)
            {
                continue;
            }
            var candidate = new EvictionCandidate(_time.GetElapsedTime(oldest.IdleSince), oldest.MemoryMb, pool.IdleCount == 1);
            if (victim is null || EvictionOrder.Compare(candidate, worst, reason) < 0)
            {
                (victim, worst) = (oldest, candidate);
            }
        }
        return victim;
    }

    private void EvictLocked(PooledSandbox victim)
    {
        var removed = victim.Pool.RemoveLocked(victim);
        Debug.Assert(removed);
        UnlistLocked(victim);
        CloseLocked(victim);
        _counters = _counters with { Evicted = _counters.Evicted + 1 };
    }

    private ThrottledException ThrottledLocked(string message)
    {
        _counters = _counters with { Throttled = _counters.Throttled + 1 };
        return new ThrottledException(message);
    }

    /// <summary>Which limit stands in the way, with its knob and value.</summary>
    private string ShortageLocked()
    {
        if (_underPressure)
        {
            return $"the host's available memory is below {SandboxOptions.Section}:MemoryFloorMb = {_limits.MemoryFloorMb}.";
        }
        return _live.Count >= _limits.MaxSandboxes
            ? $"{_live.Count} sandboxes are in use ({SandboxOptions.Section}:MaxSandboxes = {_limits.MaxSandboxes})."
            : $"{_memoryMb} MB are promised to {_live.Count} sandboxes ({SandboxOptions.Section}:MemoryBudgetMb = {_limits.MemoryBudgetMb}).";
    }
}
