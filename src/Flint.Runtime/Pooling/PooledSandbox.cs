using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Pooling;

/// <summary>
/// One unit of the worker's capacity and the sandbox in it. From the moment it is granted until it is closed it counts against the limits.
/// Whoever rented it owns it alone and must give it back exactly once, by return or by discard.
/// </summary>
/// <remarks>
/// <code>
/// Creating --Attach--> Busy --Return--> Idle --rent--> Busy
///    |                  |  \             ^|
///    |                  |   Return of a  ||
///    |                  |   snapshot     |+--------------+
///    |                  |     \          |               |
///    |                  |      Renewing -+ (or to Busy,  |
///    |                  |         |         for a waiter)|
///    +-----------------Close------+----------------------+--> Closing --proved gone--> Closed
/// </code>
/// Every other transition is refused. All of it under the lock of <see cref="SandboxPools"/>. While it is renewing, the fork that answered is destroyed
/// and the next one is made, by <see cref="SandboxPools"/>; nobody rents it meanwhile.
/// </remarks>
/// <param name="pool">Its function version and revision.</param>
/// <param name="spec">What it was made for. Only the key matters for reuse: a later spec of the same key is the same function version.</param>
/// <param name="phases">How many there are in each phase, over all pools; kept by the transitions.</param>
internal sealed class PooledSandbox(SandboxPool pool, FunctionSpec spec, PhaseCounts phases)
{
    internal enum Phase { Creating, Busy, Renewing, Idle, Closing, Closed }

    public SandboxPool Pool { get; } = pool;

    public FunctionSpec Spec { get; } = spec;

    /// <summary>Null until attached. Of a snapshot: the template with everything around it, which is what is frozen, measured and destroyed.</summary>
    public GuardedSandbox? Sandbox { get; private set; }

    /// <summary>Null until attached.</summary>
    public GuestConnection? Connection { get; private set; }

    /// <summary>Only of a snapshot: the fork that runs the invocation, or waits for it.</summary>
    public GuardedSandbox? Fork { get; private set; }

    public Phase State { get; private set; } = phases.New();

    /// <summary>True until its first return: the next invocation is a cold start.</summary>
    public bool IsNew => State == Phase.Creating;

    /// <summary>Counts among the cold starts under way: from its grant until the handler is loaded.</summary>
    public bool Starting { get; set; } = true;

    /// <summary>Timestamp of the last return.</summary>
    public long IdleSince { get; private set; }

    /// <summary>Its place among the idle ones that are not frozen; in no list until it has been idle.</summary>
    public LinkedListNode<PooledSandbox> FreezeNode { get; } = new(null!);

    /// <summary>Its place among all idle ones; in no list while it is not idle.</summary>
    public LinkedListNode<PooledSandbox> IdleNode { get; } = new(null!);

    public int MemoryMb => Spec.MemoryMb;

    /// <summary>What it counts against the memory budget: its limit, or while it is idle what an idle one may be expected to use.</summary>
    public int ChargedMb { get; private set; } = spec.MemoryMb;

    /// <summary>What the memory budget must have left for an idle one to be rented.</summary>
    public int RentCostMb => MemoryMb - ChargedMb;

    public void AttachLocked(GuardedSandbox sandbox, GuestConnection connection)
    {
        Move(Phase.Creating, Phase.Busy);
        Sandbox = sandbox;
        Connection = connection;
        FreezeNode.Value = IdleNode.Value = this;
    }

    /// <summary>The initialised process has its first fork and is a template from now on.</summary>
    public void ForkedLocked(GuardedSandbox fork)
    {
        // Its own channel is never used again.
        Connection = null;
        Fork = fork;
    }

    public void RentLocked()
    {
        Move(Phase.Idle, Phase.Busy);
        ChargedMb = MemoryMb;
    }

    public void IdleLocked(long now)
    {
        Move(Phase.Busy, Phase.Idle);
        IdleSince = now;
        ChargedMb = Math.Min(MemoryMb, PoolLimits.IdleChargeMb);
    }

    public void RenewLocked() => Move(Phase.Busy, Phase.Renewing);

    /// <param name="next">Null when there is none; then it must be closed.</param>
    public void RenewedLocked(GuardedSandbox? next)
    {
        Move(Phase.Renewing, Phase.Busy);
        Fork = next;
    }

    public void CloseLocked()
    {
        if (State >= Phase.Closing)
        {
            throw new InvalidOperationException($"A sandbox that is {State} cannot be closed again.");
        }
        Move(State, Phase.Closing);
    }

    public void GoneLocked() => Move(Phase.Closing, Phase.Closed);

    private void Move(Phase from, Phase to)
    {
        if (State != from)
        {
            throw new InvalidOperationException($"A sandbox that is {State} cannot become {to}.");
        }
        phases.Move(from, to);
        State = to;
    }
}

/// <summary>How many sandboxes there are in each phase, so that nobody counts them. Guarded by the lock of <see cref="SandboxPools"/>.</summary>
internal sealed class PhaseCounts
{
    private readonly int[] _counts = new int[Enum.GetValues<PooledSandbox.Phase>().Length];

    public int this[PooledSandbox.Phase phase] => _counts[(int)phase];

    public PooledSandbox.Phase New()
    {
        _counts[(int)PooledSandbox.Phase.Creating]++;
        return PooledSandbox.Phase.Creating;
    }

    public void Move(PooledSandbox.Phase from, PooledSandbox.Phase to)
    {
        _counts[(int)from]--;
        _counts[(int)to]++;
    }
}
