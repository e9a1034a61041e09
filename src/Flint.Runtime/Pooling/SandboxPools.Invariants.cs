namespace Flint.Runtime.Pooling;

/// <summary>What must hold whenever the lock is free. For tests.</summary>
public sealed partial class SandboxPools
{
    /// <summary>For tests.</summary>
    internal int KnownPools
    {
        get
        {
            lock (_lock)
            {
                return _pools.Count;
            }
        }
    }

    /// <summary>Recounts everything; throws when a count or a list does not agree. For tests.</summary>
    internal void CheckInvariants()
    {
        lock (_lock)
        {
            Check(_live.Sum(slot => (long)slot.ChargedMb) == _memoryMb, "memory");
            Check(_live.Where(slot => slot.State == PooledSandbox.Phase.Closing).Sum(slot => (long)slot.ChargedMb) == _closingMemoryMb, "closing memory");
            Check(_phases[PooledSandbox.Phase.Closing] == _closing, "closing");
            foreach (var phase in Enum.GetValues<PooledSandbox.Phase>().Where(phase => phase != PooledSandbox.Phase.Closed))
            {
                Check(_live.Count(slot => slot.State == phase) == _phases[phase], phase.ToString());
            }
            Check(_live.All(slot => slot.State != PooledSandbox.Phase.Closed), "closed but live");
            Check(_live.Count <= _limits.MaxSandboxes && _memoryMb <= _limits.MemoryBudgetMb, "limits");
            Check(_phases[PooledSandbox.Phase.Idle] == _pools.Values.Sum(pool => pool.IdleCount) && _phases[PooledSandbox.Phase.Idle] == _idleOrder.Count, "idle");
            Check(_pools.Values.Sum(pool => pool.Live) == _live.Count, "live by pool");
            Check(_live.Count(slot => slot.Starting) == _starting && _pools.Values.Sum(pool => pool.Starting) == _starting, "cold starts");
            Check(_starting <= _limits.MaxColdStarts && _pools.Values.All(pool => pool.Starting <= _limits.ColdStartsPerFunction), "cold starts' limits");
            Check(_pools.Values.Sum(pool => pool.Renewing) == _phases[PooledSandbox.Phase.Renewing], "renewing by pool");
            Check(_pools.Values.Sum(pool => pool.Waiting) == _waiters.Count, "waiters by pool");
            Check(_pools.Values.All(pool => pool.Waiters.Count == 0 || pool.HottestIdle is not { } idle
                || (_idleHeldBack && _memoryMb + idle.RentCostMb > _limits.MemoryBudgetMb)), "a waiter beside an idle sandbox");
            Check(_unfrozen.All(slot => slot.State == PooledSandbox.Phase.Idle), "freeze list");
            Check(_pools.Values.All(pool => !pool.IsUnused || _unused.Contains(pool)), "an unused pool that nobody forgets");
            Check(_discards is null, "discards left under the lock");
        }

        static void Check(bool holds, string what)
        {
            if (!holds)
            {
                throw new InvalidOperationException($"The pool's invariant is broken: {what}.");
            }
        }
    }
}
