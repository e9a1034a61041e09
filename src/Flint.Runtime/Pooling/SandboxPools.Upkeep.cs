using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Pooling;

/// <summary>What keeps idle sandboxes in order: freezing, expiry, pressure, retirement, shutdown.</summary>
public sealed partial class SandboxPools
{
    /// <summary>A retired pool is remembered this long, so that a late request with the old revision does not take it for a new one.</summary>
    private static readonly TimeSpan RetiredMemory = TimeSpan.FromMinutes(1);

    // All under _lock.
    /// <summary>Idle sandboxes that are not frozen, the longest idle first. A sandbox's node is its own, so listing it costs nothing.</summary>
    private readonly LinkedList<PooledSandbox> _unfrozen = new();
    /// <summary>All idle sandboxes, the longest idle first: whose lifetime is over stands in front.</summary>
    private readonly LinkedList<PooledSandbox> _idleOrder = new();
    /// <summary>Pools that had nothing in them at some time since they were last looked at; those that still have not are forgotten.</summary>
    private readonly HashSet<SandboxPool> _unused = [];
    /// <summary>The freezer waits to be woken by the next return.</summary>
    private bool _freezerAsleep = true;

    /// <summary>Wakes the freezer; set once, by it.</summary>
    internal Action? FreezeWanted { get; set; }

    internal TimeSpan FreezeAfter => _limits.FreezeAfter;

    /// <summary>The pools at this moment.</summary>
    public PoolStatistics Statistics()
    {
        lock (_lock)
        {
            // Those whose grace is over have begun to be frozen.
            var frozen = _limits.FreezeAfter == Timeout.InfiniteTimeSpan ? 0 : _idleOrder.Count - _unfrozen.Count;
            return new PoolStatistics(
                _live.Count, _phases[PooledSandbox.Phase.Creating], _phases[PooledSandbox.Phase.Busy], _phases[PooledSandbox.Phase.Renewing],
                _phases[PooledSandbox.Phase.Idle], frozen, _closing, _memoryMb, _waiters.Count, _underPressure, _limits.MaxSandboxes, _limits.MemoryBudgetMb, _counters);
        }
    }

    /// <summary>
    /// Code directories that a sandbox uses or is about to use: they must not be removed. A directory that was resolved for a request that has not reached
    /// the pool yet is not in it; the code cache must keep what it handed out lately.
    /// </summary>
    public IReadOnlySet<string> LiveCodeDirectories()
    {
        lock (_lock)
        {
            return _live.Select(slot => slot.Spec.CodeDirectory).Concat(_waiters.Select(waiter => waiter.Spec.CodeDirectory)).ToHashSet(StringComparer.Ordinal);
        }
    }

    /// <summary>
    /// Retires every other revision of this function version: idle sandboxes are destroyed now, busy ones when they come back. The first
    /// invocation of a new revision does the same by itself; calling this frees the memory sooner.
    /// </summary>
    public void RetireOthers(SpecKey current) => Retire(pool =>
        pool.Key != current && pool.Key.TenantId == current.TenantId && pool.Key.FunctionId == current.FunctionId && pool.Key.Version == current.Version);

    /// <summary>Retires one version of a function that is being deleted.</summary>
    public void RetireVersion(string tenantId, string functionId, string version) =>
        Retire(pool => pool.Key.TenantId == tenantId && pool.Key.FunctionId == functionId && pool.Key.Version == version);

    /// <summary>Retires all versions of a function that is being deleted.</summary>
    public void RetireFunction(string tenantId, string functionId) => Retire(pool => pool.Key.TenantId == tenantId && pool.Key.FunctionId == functionId);

    /// <summary>Takes out those that are due to be frozen and have begun to be. False for <c>More</c>: the freezer may sleep until <see cref="FreezeWanted"/>.</summary>
    internal (List<PooledSandbox>? Due, bool More) TakeFreezable(bool maySleep)
    {
        lock (_lock)
        {
            List<PooledSandbox>? due = null;
            while (_unfrozen.First is { Value: { } slot } && _time.GetElapsedTime(slot.IdleSince) >= _limits.FreezeAfter)
            {
                _unfrozen.RemoveFirst();
                if (slot.Sandbox!.TryBeginFreeze())
                {
                    (due ??= []).Add(slot);
                }
            }
            _freezerAsleep = maySleep && _unfrozen.Count == 0;
            return (due, !_freezerAsleep);
        }
    }

    /// <summary>Closes idle sandboxes past their lifetime and forgets pools that nobody uses. Returns how many were closed.</summary>
    internal int ExpireIdle()
    {
        var expired = 0;
        Change(() =>
        {
            while (_idleOrder.First is { Value: { } oldest } && _time.GetElapsedTime(oldest.IdleSince) >= _limits.IdleLifetime)
            {
                EvictLocked(oldest);
                expired++;
            }
            _counters = _counters with { Expired = _counters.Expired + expired, Evicted = _counters.Evicted - expired };
            ForgetUnusedLocked();
        });
        return expired;
    }

    /// <summary>Acts on the host's memory: below the floor nothing grows, and each call evicts a part of the idle ones. Returns how many.</summary>
    internal int ObserveHost(HostMemory host)
    {
        var evicted = 0;
        Change(() =>
        {
            var pressed = host.Available < _limits.MemoryFloorMb;
            if (pressed != _underPressure)
            {
                _underPressure = pressed;
                LogPressure(_logger, pressed, host.Available ?? 0, _limits.MemoryFloorMb);
            }
            // A quarter at a time: the kernel needs a moment to show what was freed.
            var most = pressed ? Math.Max(4, _idleOrder.Count / 4) : 0;
            while (evicted < most && OldestVictimLocked(EvictionReason.Memory) is { } victim)
            {
                EvictLocked(victim);
                evicted++;
            }
        });
        return evicted;
    }

    /// <summary>Refuses new rents and waiters and closes everything idle; busy ones are closed when they come back.</summary>
    internal void Stop()
    {
        Change(() =>
        {
            _stopped = true;
            while (_waiters.First is { Value: { } waiter })
            {
                DequeueLocked(waiter);
                waiter.RefuseLocked(new EngineException("This worker is stopping and takes no more work."));
            }
            foreach (var pool in _pools.Values)
            {
                CloseIdleLocked(pool);
            }
            foreach (var slot in _live.Where(slot => slot.State == PooledSandbox.Phase.Renewing))
            {
                CloseLocked(slot);
            }
            NoteRenewalsEndedLocked();
        });
    }

    /// <summary>True when the freezer must be woken.</summary>
    private bool PutIdleLocked(PooledSandbox slot)
    {
        slot.IdleLocked(_time.GetTimestamp());
        _memoryMb -= slot.RentCostMb;
        slot.Pool.PutLocked(slot);
        _idleOrder.AddLast(slot.IdleNode);
        if (_limits.FreezeAfter == Timeout.InfiniteTimeSpan)
        {
            return false;
        }
        _unfrozen.AddLast(slot.FreezeNode);
        var wake = _freezerAsleep;
        _freezerAsleep = false;
        return wake;
    }

    private void UnlistLocked(PooledSandbox slot)
    {
        _idleOrder.Remove(slot.IdleNode);
        if (slot.FreezeNode.List is not null)
        {
            _unfrozen.Remove(slot.FreezeNode);
        }
    }

    private void Retire(Func<SandboxPool, bool> which) => Change(() =>
    {
        foreach (var pool in _pools.Values)
        {
            if (!pool.Retired && which(pool))
            {
                RetireLocked(pool);
            }
        }
    });

    private void RetireLocked(SandboxPool pool)
    {
        pool.RetireLocked(_time.GetTimestamp());
        CloseIdleLocked(pool);
    }

    private void CloseIdleLocked(SandboxPool pool)
    {
        foreach (var slot in pool.TakeAllLocked())
        {
            UnlistLocked(slot);
            CloseLocked(slot);
        }
    }

    private void ForgetUnusedLocked()
    {
        foreach (var pool in _unused)
        {
            if (!pool.IsUnused)
            {
                _unused.Remove(pool);
            }
            else if (!pool.Retired || _time.GetElapsedTime(pool.RetiredAt) >= RetiredMemory)
            {
                _unused.Remove(pool);
                _pools.Remove(pool.Key);
                var generation = (pool.Key.TenantId, pool.Key.FunctionId, pool.Key.Version);
                if (_current.GetValueOrDefault(generation) == pool)
                {
                    _current.Remove(generation);
                }
            }
        }
    }

    private void NoteUnusedLocked(SandboxPool pool)
    {
        if (pool.IsUnused)
        {
            _unused.Add(pool);
        }
    }

    private void Change(Action change)
    {
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            change();
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
    }

    [LoggerMessage(1201, LogLevel.Warning, "Host memory pressure: {Pressed} ({AvailableMb} MB available, floor {FloorMb} MB)")]
    private static partial void LogPressure(ILogger logger, bool pressed, long availableMb, long floorMb);
}
