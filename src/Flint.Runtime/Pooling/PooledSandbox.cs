using System.Diagnostics;
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
///    |                  |                |
///    +-----------------Close-------------+--> Closing --proved gone--> Closed
/// </code>
/// Every other transition is refused. All of it under the lock of <see cref="SandboxPools"/>.
/// </remarks>
internal sealed class PooledSandbox(SandboxPool pool, FunctionSpec spec)
{
    internal enum Phase { Creating, Busy, Idle, Closing, Closed }

    public SandboxPool Pool { get; } = pool;

    /// <summary>What it was made for. Only the key matters for reuse: a later spec of the same key is the same function version.</summary>
    public FunctionSpec Spec { get; } = spec;

    /// <summary>Null until attached.</summary>
    public GuardedSandbox? Sandbox { get; private set; }

    /// <summary>Null until attached.</summary>
    public GuestConnection? Connection { get; private set; }

    public Phase State { get; private set; } = Phase.Creating;

    /// <summary>True until its first return: the next invocation is a cold start.</summary>
    public bool IsNew => State == Phase.Creating;

    /// <summary>Timestamp of the last return.</summary>
    public long IdleSince { get; private set; }

    /// <summary>Its place among the idle ones that are not frozen; null when it is in no such list.</summary>
    public LinkedListNode<PooledSandbox> FreezeNode { get; } = new(null!);

    public int MemoryMb => Spec.MemoryMb;

    public void AttachLocked(GuardedSandbox sandbox, GuestConnection connection)
    {
        Move(Phase.Creating, Phase.Busy);
        Sandbox = sandbox;
        Connection = connection;
        FreezeNode.Value = this;
    }

    public void RentLocked() => Move(Phase.Idle, Phase.Busy);

    public void IdleLocked(long now)
    {
        Move(Phase.Busy, Phase.Idle);
        IdleSince = now;
    }

    public void CloseLocked()
    {
        if (State >= Phase.Closing)
        {
            throw new InvalidOperationException($"A sandbox that is {State} cannot be closed again.");
        }
        State = Phase.Closing;
    }

    public void GoneLocked() => Move(Phase.Closing, Phase.Closed);

    private void Move(Phase from, Phase to)
    {
        if (State != from)
        {
            throw new InvalidOperationException($"A sandbox that is {State} cannot become {to}.");
        }
        Debug.Assert(to is Phase.Busy or Phase.Idle or Phase.Closed);
        State = to;
    }
}
