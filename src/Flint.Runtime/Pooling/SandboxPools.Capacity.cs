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
    private long _memoryMb;
    private int _closing;
    private long _closingMemoryMb;
    private int _starting;
    private bool _underPressure;
    /// <summary>Some waiter's own function has an idle sandbox that the memory budget keeps it from.</summary>
    private bool _idleHeldBack;

    private bool CanGrowLocked(SandboxPool pool, int memoryMb) =>
        MayGrowLocked() && pool.Starting < _limits.ColdStartsPerFunction && _memoryMb + memoryMb <= _limits.MemoryBudgetMb;

    /// <summary>For any function, however small.</summary>
    private bool MayGrowLocked() => !_underPressure && _starting < _limits.MaxColdStarts && _live.Count < _limits.MaxSandboxes;

    /// <summary>As <see cref="CanGrowLocked"/>, once everything that is being destroyed is gone.</summary>
    private bool RoomIsComingLocked(int memoryMb) =>
        _live.Count - _closing < _limits.MaxSandboxes && _memoryMb - _closingMemoryMb + memoryMb <= _limits.MemoryBudgetMb;

    private PooledSandbox GrowLocked(SandboxPool pool, FunctionSpec spec)
    {
        var slot = new PooledSandbox(pool, spec, _phases);
        _live.Add(slot);
        _memoryMb += slot.ChargedMb;
        pool.Live++;
        pool.Starting++;
        _starting++;
        _counters = _counters with { Created = _counters.Created + 1 };
        Debug.Assert(_live.Count <= _limits.MaxSandboxes && _memoryMb <= _limits.MemoryBudgetMb);
        return slot;
    }

    private void ShrinkLocked(PooledSandbox slot)
    {
        var removed = _live.Remove(slot);
        _memoryMb -= slot.ChargedMb;
        slot.Pool.Live--;
        NoteUnusedLocked(slot.Pool);
        Debug.Assert(removed && _memoryMb >= 0 && _closing >= 0 && slot.Pool.Live >= 0);
    }

    /// <summary>The cold start is over: its place is another's. Called again it does nothing.</summary>
    private void StartedLocked(PooledSandbox slot)
    {
        if (slot.Starting)
        {
            slot.Starting = false;
            slot.Pool.Starting--;
            _starting--;
        }
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
                $"{_waiters.Count} invocations wait for a sandbox, as many as {SandboxOptions.Section}:QueueLimit = {_limits.QueueLimit} allows; {ShortageLocked(pool, spec.MemoryMb)}");
        }
        if (pool.Waiting >= Math.Max(1, _limits.QueueLimit / 2))
        {
            throw ThrottledLocked(
                $"{pool.Waiting} invocations of this function wait for a sandbox; one function may take half of {SandboxOptions.Section}:QueueLimit = {_limits.QueueLimit}; {ShortageLocked(pool, spec.MemoryMb)}");
        }
        var waiter = new SandboxWaiter(pool, spec, _time.GetTimestamp());
        waiter.Node = _waiters.AddLast(waiter);
        waiter.PoolNode = Keeps(spec) ? pool.Waiters.AddLast(waiter) : null;
        pool.Waiting++;
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
        NoteUnusedLocked(waiter.Pool);
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
                    $"No sandbox became free within {SandboxOptions.Section}:QueueTimeoutMs = {(long)_limits.QueueTimeout.TotalMilliseconds}; {ShortageLocked(waiter.Pool, waiter.Spec.MemoryMb)}"));
            }
            // It may have stood before others that fit.
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
    }

    /// <summary>Grants what fits. For those who still wait, idle sandboxes are evicted until enough room is coming for as many as may start at a time.</summary>
    private void ServeWaitersLocked()
    {
        if (_waiters.Count == 0)
        {
            return;
        }
        if (_idleHeldBack || MayGrowLocked())
        {
            GrantLocked();
        }
        while (_waiters.Count > 0 && ShortOfLocked() is { } reason && OldestVictimLocked(reason) is { } victim)
        {
            EvictLocked(victim);
        }
    }

    /// <summary>
    /// In order of arrival. Smaller ones may pass one that is too large for the room there is, until it is <see cref="FairAfter"/> old; one that waits for what is
    /// its own function's (a renewal, a cold start's end) holds up nobody.
    /// </summary>
    private void GrantLocked()
    {
        var heldBack = false;
        for (var node = _waiters.First; node is not null;)
        {
            var (waiter, next) = (node.Value, node.Next);
            if (TakeLocked(waiter) is { } slot)
            {
                DequeueLocked(waiter);
                waiter.GrantLocked(slot);
            }
            else if (!IsCoveredLocked(waiter) && waiter.Pool.Starting < _limits.ColdStartsPerFunction && _time.GetElapsedTime(waiter.Since) >= FairAfter)
            {
                // Those behind it were not looked at.
                heldBack = true;
                break;
            }
            heldBack |= waiter is { Node: not null, PoolNode: not null, Pool.IdleCount: > 0 };
            node = next;
        }
        _idleHeldBack = heldBack;
    }

    private PooledSandbox? TakeLocked(SandboxWaiter waiter)
    {
        if (waiter.PoolNode is not null && TakeIdleLocked(waiter.Pool) is { } idle)
        {
            return idle;
        }
        return !IsCoveredLocked(waiter) && CanGrowLocked(waiter.Pool, waiter.Spec.MemoryMb) ? GrowLocked(waiter.Pool, waiter.Spec) : null;
    }

    /// <summary>
    /// True when a renewal that is under way will serve this waiter: another template would cost its memory and a whole init. A renewal that takes longer
    /// than <see cref="FairAfter"/> is not counted upon any more.
    /// </summary>
    private bool IsCoveredLocked(SandboxWaiter waiter)
    {
        if (waiter.PoolNode is null || waiter.Pool.Renewing == 0 || _time.GetElapsedTime(waiter.Since) >= FairAfter)
        {
            return false;
        }
        var before = 0;
        for (var node = waiter.PoolNode.Previous; node is not null && before < waiter.Pool.Renewing; node = node.Previous)
        {
            before++;
        }
        return before < waiter.Pool.Renewing;
    }

    /// <summary>
    /// What is missing for as many waiters to be granted as may start at a time, once everything that is being destroyed is gone; null when
    /// nothing is.
    /// </summary>
    private EvictionReason? ShortOfLocked()
    {
        var (looked, more) = (0, 0);
        var memory = 0L;
        for (var node = _waiters.First; node is not null && looked < _limits.MaxColdStarts; node = node.Next)
        {
            looked++;
            var waiter = node.Value;
            if (IsCoveredLocked(waiter))
            {
                continue;
            }
            var idle = waiter.PoolNode is null ? null : waiter.Pool.HottestIdle;
            more += idle is null ? 1 : 0;
            memory += idle?.RentCostMb ?? waiter.Spec.MemoryMb;
        }
        if (_live.Count - _closing + more > _limits.MaxSandboxes)
        {
            return EvictionReason.Count;
        }
        return _memoryMb - _closingMemoryMb + memory > _limits.MemoryBudgetMb ? EvictionReason.Memory : null;
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
    private string ShortageLocked(SandboxPool pool, int memoryMb)
    {
        if (_underPressure)
        {
            return $"the host's available memory is below {SandboxOptions.Section}:MemoryFloorMb = {_limits.MemoryFloorMb}.";
        }
        if (_live.Count >= _limits.MaxSandboxes)
        {
            return $"{_live.Count} sandboxes are in use ({SandboxOptions.Section}:MaxSandboxes = {_limits.MaxSandboxes}).";
        }
        if (_memoryMb + memoryMb > _limits.MemoryBudgetMb)
        {
            return $"{_memoryMb} MB are promised to {_live.Count} sandboxes ({SandboxOptions.Section}:MemoryBudgetMb = {_limits.MemoryBudgetMb}).";
        }
        return _starting >= _limits.MaxColdStarts
            ? $"{_starting} cold starts are under way ({SandboxOptions.Section}:MaxColdStarts = {_limits.MaxColdStarts})."
            : $"{pool.Starting} cold starts of this function are under way; one function may take half of {SandboxOptions.Section}:MaxColdStarts = {_limits.MaxColdStarts}.";
    }
}
