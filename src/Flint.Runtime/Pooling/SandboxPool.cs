using System.Diagnostics;
using Flint.Runtime.Invocation;

namespace Flint.Runtime.Pooling;

/// <summary>
/// The sandboxes of one function version and revision. Holds no lock of its own: <see cref="SandboxPools"/> owns it, and every member is
/// called under its lock.
/// </summary>
internal sealed class SandboxPool(SpecKey key)
{
    /// <summary>The oldest first; rented from the end, whose caches are hot, and expired from the front.</summary>
    private readonly List<PooledSandbox> _idle = [];

    public SpecKey Key { get; } = key;

    /// <summary>A newer revision exists, or the function is gone: nothing is kept warm any more.</summary>
    public bool Retired { get; private set; }

    /// <summary>Timestamp; means something only when <see cref="Retired"/>.</summary>
    public long RetiredAt { get; private set; }

    /// <summary>Its sandboxes from grant to proof of being gone.</summary>
    public int Live { get; set; }

    /// <summary>Those among them that are cold starts under way.</summary>
    public int Starting { get; set; }

    /// <summary>Those among them that are being renewed, each soon fit for another invocation.</summary>
    public int Renewing { get; set; }

    /// <summary>All who wait for this pool, warm and fresh.</summary>
    public int Waiting { get; set; }

    /// <summary>First come, first served among those who would take a used sandbox; those who want a fresh one are not among them.</summary>
    public LinkedList<SandboxWaiter> Waiters { get; } = new();

    public int IdleCount => _idle.Count;

    public PooledSandbox? OldestIdle => _idle.Count > 0 ? _idle[0] : null;

    /// <summary>The one that is rented next.</summary>
    public PooledSandbox? HottestIdle => _idle.Count > 0 ? _idle[^1] : null;

    public bool IsUnused => Live == 0 && Waiting == 0;

    public void RetireLocked(long now)
    {
        Retired = true;
        RetiredAt = now;
    }

    public PooledSandbox? TakeHottestLocked()
    {
        var sandbox = HottestIdle;
        if (sandbox is not null)
        {
            _idle.RemoveAt(_idle.Count - 1);
        }
        return sandbox;
    }

    public void PutLocked(PooledSandbox sandbox)
    {
        Debug.Assert(!Retired && sandbox.State == PooledSandbox.Phase.Idle);
        _idle.Add(sandbox);
    }

    /// <summary>False when it is not idle here: rented or closed in the meantime.</summary>
    public bool RemoveLocked(PooledSandbox sandbox) => _idle.Remove(sandbox);

    public PooledSandbox[] TakeAllLocked()
    {
        var all = _idle.ToArray();
        _idle.Clear();
        return all;
    }
}
