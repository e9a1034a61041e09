using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Pooling;

/// <summary>
/// All sandboxes of this worker: warm ones by function version and revision, the worker's capacity, and who waits for it. Thread-safe.
/// </summary>
/// <remarks>
/// One lock guards everything, pools included, so capacity has one truth, waiters are served across functions, and no wake-up can be lost: whatever
/// frees capacity serves the waiters before it leaves the lock. Nothing but memory is touched under it; sandboxes are destroyed after it
/// (<c>_discards</c>), and a renter continues on another thread.
/// </remarks>
public sealed partial class SandboxPools
{
    /// <summary>
    /// A waiter older than this gets the next room whatever function it comes from; until then a returned sandbox goes to its own function's waiters,
    /// because a warm start is a hundred times cheaper than a cold one.
    /// </summary>
    private static readonly TimeSpan FairAfter = TimeSpan.FromMilliseconds(250);

    private readonly Lock _lock = new();
    private readonly PoolLimits _limits;
    private readonly SandboxJanitor _janitor;
    private readonly TimeProvider _time;
    private readonly ILogger<SandboxPools> _logger;

    // All below: read and written under _lock only.
    private readonly Dictionary<SpecKey, SandboxPool> _pools = [];
    /// <summary>The pool of the newest revision of each function version; a new one retires the one before.</summary>
    private readonly Dictionary<(string Tenant, string Function, string Version), SandboxPool> _current = [];
    /// <summary>Everything that counts against the limits.</summary>
    private readonly HashSet<PooledSandbox> _live = [];
    /// <summary>Closed under the lock, to be destroyed when it is left.</summary>
    private List<PooledSandbox>? _discards;
    private readonly PhaseCounts _phases = new();
    private PoolCounters _counters;
    private bool _stopped;

    internal SandboxPools(PoolLimits limits, SandboxJanitor janitor, TimeProvider time, ILogger<SandboxPools> logger)
    {
        _limits = limits;
        _janitor = janitor;
        _time = time;
        _logger = logger;
    }

    /// <summary>
    /// A sandbox for the function, the caller's alone until it is given back by <see cref="Return"/> or <see cref="Discard"/>: an idle
    /// one (synchronously), or a new unit of capacity to create one in (<see cref="PooledSandbox.IsNew"/>; <see cref="Started"/> must follow), or what becomes free.
    /// Throws <see cref="ThrottledException"/>, <see cref="EngineException"/> when the worker stops, or the token's cancellation.
    /// </summary>
    internal ValueTask<PooledSandbox> RentAsync(FunctionSpec spec, CancellationToken cancellationToken)
    {
        PooledSandbox? granted;
        SandboxWaiter? waiter = null;
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            RefuseStoppedLocked();
            var pool = PoolLocked(spec);
            granted = Keeps(spec) ? TakeIdleLocked(pool) : null;
            if (granted is null && _waiters.Count == 0 && pool.Renewing == 0 && CanGrowLocked(pool, spec.MemoryMb))
            {
                granted = GrowLocked(pool, spec);
            }
            if (granted is null)
            {
                waiter = EnqueueLocked(pool, spec);
                ServeWaitersLocked();
            }
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
        return granted is not null ? new ValueTask<PooledSandbox>(granted) : new ValueTask<PooledSandbox>(WaitAsync(waiter!, cancellationToken));
    }

    /// <summary>The fast path alone: a warm sandbox when there is one.</summary>
    internal bool TryRentIdle(FunctionSpec spec, [NotNullWhen(true)] out PooledSandbox? slot)
    {
        slot = null;
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            if (Keeps(spec) && !_stopped && _pools.TryGetValue(spec.Key, out var pool))
            {
                slot = TakeIdleLocked(pool);
            }
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
        return slot is not null;
    }

    /// <summary>Puts the engine's sandbox into a new unit of capacity.</summary>
    internal void Attach(PooledSandbox slot, GuardedSandbox sandbox, GuestConnection connection)
    {
        lock (_lock)
        {
            slot.AttachLocked(sandbox, connection);
        }
        Watch(slot, sandbox);
    }

    /// <summary>The new sandbox's handler is loaded, or nobody waits for that any more: another cold start may begin.</summary>
    internal void Started(PooledSandbox slot)
    {
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            StartedLocked(slot);
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
    }

    /// <summary>Gives back a sandbox that is fit for another invocation. Whether it is kept is the pool's business.</summary>
    internal void Return(PooledSandbox slot)
    {
        List<PooledSandbox>? discards;
        bool wakeFreezer = false, renew = false;
        lock (_lock)
        {
            StartedLocked(slot);
            if (!MayKeepLocked(slot))
            {
                CloseLocked(slot);
            }
            else if (slot.Fork is not null)
            {
                RenewLocked(slot);
                renew = true;
            }
            else
            {
                wakeFreezer = KeepLocked(slot);
            }
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
        if (wakeFreezer)
        {
            FreezeWanted?.Invoke();
        }
        if (renew)
        {
            _ = RenewAsync(slot);
        }
    }

    /// <summary>Gives back a sandbox that must not be used again, or a unit of capacity in which none could be created.</summary>
    internal void Discard(PooledSandbox slot)
    {
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            CloseLocked(slot);
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        Destroy(discards);
    }

    private SandboxPool PoolLocked(FunctionSpec spec)
    {
        var key = spec.Key;
        if (_pools.TryGetValue(key, out var pool))
        {
            return pool;
        }
        pool = new SandboxPool(key);
        _pools.Add(key, pool);
        // Until something of it lives or waits.
        NoteUnusedLocked(pool);
        var generation = (key.TenantId, key.FunctionId, key.Version);
        if (_current.TryGetValue(generation, out var older))
        {
            RetireLocked(older);
        }
        _current[generation] = pool;
        return pool;
    }

    private PooledSandbox? TakeIdleLocked(SandboxPool pool)
    {
        while (pool.HottestIdle is { } hottest)
        {
            if (_memoryMb + hottest.RentCostMb > _limits.MemoryBudgetMb)
            {
                _idleHeldBack = true;
                return null;
            }
            var slot = pool.TakeHottestLocked()!;
            UnlistLocked(slot);
            if (IsAlive(slot))
            {
                _memoryMb += slot.RentCostMb;
                slot.RentLocked();
                _counters = _counters with { Reused = _counters.Reused + 1 };
                return slot;
            }
            CloseLocked(slot);
            _counters = _counters with { DiedIdle = _counters.DiedIdle + 1 };
        }
        return null;
    }

    private static bool Keeps(FunctionSpec spec) => spec.Freshness != Freshness.Fresh;

    private bool MayKeepLocked(PooledSandbox slot) =>
        Keeps(slot.Spec) && (slot.Spec.Freshness == Freshness.Snapshot) == (slot.Fork is not null) && !slot.Pool.Retired && !_stopped && IsAlive(slot) && !MustYieldLocked(slot);

    /// <summary>For its own function's next waiter, or idle. True when the freezer must be woken.</summary>
    private bool KeepLocked(PooledSandbox slot)
    {
        if (slot.Pool.Waiters.First is not { } next)
        {
            return PutIdleLocked(slot);
        }
        HandOverLocked(slot, next.Value);
        return false;
    }

    private void HandOverLocked(PooledSandbox slot, SandboxWaiter waiter)
    {
        Debug.Assert(slot.Pool == waiter.Pool && slot.State == PooledSandbox.Phase.Busy);
        DequeueLocked(waiter);
        _counters = _counters with { Reused = _counters.Reused + 1 };
        waiter.GrantLocked(slot);
    }

    /// <summary>Of a snapshot the template counts; a fork that waits for its invocation has to live too, one that had its own does not.</summary>
    private static bool IsAlive(PooledSandbox slot) =>
        slot.Sandbox is { IsDead: false, Exited.IsCompleted: false }
        && (slot.State != PooledSandbox.Phase.Idle || slot.Fork is null or { IsDead: false, Exited.IsCompleted: false });

    private void CloseLocked(PooledSandbox slot)
    {
        StartedLocked(slot);
        slot.Pool.Renewing -= slot.State == PooledSandbox.Phase.Renewing ? 1 : 0;
        slot.CloseLocked();
        _closing++;
        _closingMemoryMb += slot.ChargedMb;
        (_discards ??= []).Add(slot);
    }

    private List<PooledSandbox>? TakeDiscardsLocked()
    {
        var discards = _discards;
        _discards = null;
        return discards;
    }

    /// <summary>Outside the lock: engines may do anything.</summary>
    private void Destroy(List<PooledSandbox>? slots)
    {
        foreach (var slot in slots ?? [])
        {
            if (slot.Sandbox is { } sandbox)
            {
                _janitor.Discard(sandbox, () => OnGone(slot));
            }
            else
            {
                OnGone(slot);
            }
        }
    }

    /// <summary>Its room is free again only now, when the host has proved it gone.</summary>
    private void OnGone(PooledSandbox slot)
    {
        List<PooledSandbox>? discards;
        lock (_lock)
        {
            slot.GoneLocked();
            _closing--;
            _closingMemoryMb -= slot.ChargedMb;
            ShrinkLocked(slot);
            ServeWaitersLocked();
            discards = TakeDiscardsLocked();
        }
        if (slot.Fork is { } fork)
        {
            // Gone with the whole; this lets its descriptors go.
            _janitor.Discard(fork);
        }
        Destroy(discards);
    }

    private void RefuseStoppedLocked()
    {
        if (_stopped)
        {
            throw new EngineException("This worker is stopping and takes no more work.");
        }
    }
}
