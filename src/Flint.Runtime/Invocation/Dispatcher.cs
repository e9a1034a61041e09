using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Invocation;

/// <summary>
/// Runs one invocation in a sandbox: the one procedure that every execution of this worker goes through. Thread-safe.
/// </summary>
/// <remarks>
/// <code>
/// 1 gate      a place among the invocations in flight, or Throttled
/// 2 rent      a warm sandbox, or room for a new one (queueing), or Throttled
/// 3 start     new only: the engine makes it, the guest loads the handler, a snapshot makes its first fork; limited by InitTimeoutMs
/// 4 prepare   warm only: thaw; both: reset the peak, START line
/// 5 invoke    one event, one answer, under the function's timeout; of a snapshot the fork gets it
/// 6 settle    classify, read the peak, END and REPORT lines
/// 7 give back return a fit sandbox, discard any other; never waits for a sandbox to be gone, nor for a snapshot's next fork
/// </code>
/// Whatever happens: exactly one outcome, the sandbox given back exactly once, the gate left exactly once.
/// </remarks>
public sealed partial class Dispatcher : IDisposable
{
    /// <summary>A warm sandbox that dies before it gets the event costs another try; so many in a row are no accident.</summary>
    private const int MaxWarmTries = 5;

    private readonly ConcurrencyGate _gate;
    private readonly SandboxPools _pools;
    private readonly EngineRegistry _engines;
    private readonly GuestLimits _guestLimits;
    private readonly DeadlinePool _deadlines;
    private readonly TimeSpan _initTimeout;
    private readonly int _maxLogBytes;
    private readonly TimeProvider _time;
    private readonly ILogger<Dispatcher> _logger;
    /// <summary>Fires when shutdown gives up waiting for running invocations.</summary>
    private readonly CancellationTokenSource _shutdown = new();

    internal Dispatcher(
        SandboxPools pools, EngineRegistry engines, SandboxOptions sandboxes, LimitOptions limits, TimeProvider time, ILogger<Dispatcher> logger)
    {
        _gate = new ConcurrencyGate(limits.MaxConcurrency);
        _pools = pools;
        _engines = engines;
        _guestLimits = new GuestLimits { MaxResultBytes = limits.MaxResultBytes, MaxLogBytes = limits.MaxLogBytes, MaxJsonDepth = limits.MaxJsonDepth };
        _deadlines = new DeadlinePool(time);
        _initTimeout = TimeSpan.FromMilliseconds(sandboxes.InitTimeoutMs);
        _maxLogBytes = limits.MaxLogBytes;
        _time = time;
        _logger = logger;
    }

    /// <summary>Invocations that are running or waiting on this worker.</summary>
    public int InFlight => _gate.InFlight;

    /// <summary>
    /// Runs the invocation to its end and never throws: refusals and platform faults are outcomes too (<see cref="FaultTypes.Owner"/> tells whose).
    /// </summary>
    /// <param name="request">What to run; its payload must stay untouched until the task completes.</param>
    /// <param name="caller">
    /// The caller went away. Before the invocation has a sandbox it is dropped as <see cref="FaultType.Cancelled"/>; afterwards it goes on,
    /// unless <see cref="FunctionSpec.CancelOnDisconnect"/> is set: then its sandbox is killed.
    /// </param>
    /// <param name="aborting">The worker gives the invocation up (a lost lease, say): it ends as <see cref="FaultType.SandboxLost"/> at any point.</param>
    public async Task<InvocationOutcome> DispatchAsync(InvocationRequest request, CancellationToken caller, CancellationToken aborting)
    {
        var run = new InvocationRun(request, new InvocationLog(_maxLogBytes, _time, request.OnLine), _time);
        // 1 gate
        if (_gate.TryEnter() is { } refusal)
        {
            return run.Outcome(default, refusal);
        }
        var deadline = _deadlines.Rent();
        try
        {
            return await RunAsync(run, deadline, caller, aborting);
        }
        finally
        {
            _deadlines.Return(deadline);
            _gate.Leave();
        }
    }

    public void Dispose() => _shutdown.Dispose();

    /// <summary>Takes no more work; those in flight go on.</summary>
    internal void StopTaking() => _gate.Close();

    /// <summary>Completes when work is no longer taken and none is in flight.</summary>
    internal Task Drained => _gate.Drained;

    /// <summary>Kills what is in flight.</summary>
    internal Task AbortAsync() => _shutdown.CancelAsync();

    private async Task<InvocationOutcome> RunAsync(InvocationRun run, DeadlineSource deadline, CancellationToken caller, CancellationToken aborting)
    {
        GuestReply reply = default;
        InvocationError? error;
        try
        {
            // 2 rent
            error = await RentAsync(run, deadline, caller, aborting);
            var stopping = run.Function.CancelOnDisconnect ? caller : CancellationToken.None;
            // 3 start
            if (error is null && run.ColdStart)
            {
                error = await StartAsync(run, deadline, stopping, aborting);
            }
            // 4 prepare, 5 invoke
            if (error is null)
            {
                (reply, error) = await InvokeAsync(run, deadline, stopping, aborting);
            }
            // 6 settle
            return run.Outcome(reply.Result, error);
        }
        catch (Exception exception)
        {
            // A defect of Flint's own: the caller still gets its one outcome, and the sandbox is not trusted again.
            run.Fit = false;
            LogDefect(_logger, exception, run.Request.Id);
            return run.Outcome(default, new InvocationError(FaultType.SandboxLost, "An internal error ended the invocation; the server's log has it."));
        }
        finally
        {
            // 7 give back
            GiveBack(run);
        }
    }

    private void GiveBack(InvocationRun run)
    {
        if (run.Slot is not { } slot)
        {
            return;
        }
        run.Slot = null;
        if (run.Fit)
        {
            _pools.Return(slot);
        }
        else
        {
            _pools.Discard(slot);
        }
    }

    /// <summary>Step 2, and for a warm sandbox the thaw: one that died while idle is replaced, since it has not seen the event.</summary>
    private async ValueTask<InvocationError?> RentAsync(InvocationRun run, DeadlineSource deadline, CancellationToken caller, CancellationToken aborting)
    {
        for (var tries = 1; ; tries++)
        {
            if (!_pools.TryRentIdle(run.Function, out var slot))
            {
                (slot, var refusal) = await WaitForSlotAsync(run, deadline, caller, aborting);
                if (slot is null)
                {
                    return refusal;
                }
            }
            run.Slot = slot;
            run.ColdStart = slot.IsNew;
            run.Granted();
            if (slot.Sandbox is not { } sandbox)
            {
                return null;
            }
            run.Reached(sandbox);
            if (await PrepareWarmAsync(run, sandbox, deadline, aborting) is not { } dead)
            {
                return null;
            }
            GiveBack(run);
            run.Lost();
            if (tries == MaxWarmTries || aborting.IsCancellationRequested || _shutdown.IsCancellationRequested)
            {
                return dead;
            }
        }
    }

    private async ValueTask<(PooledSandbox? Slot, InvocationError? Refusal)> WaitForSlotAsync(
        InvocationRun run, DeadlineSource deadline, CancellationToken caller, CancellationToken aborting)
    {
        deadline.Arm(Timeout.InfiniteTimeSpan, caller, aborting, _shutdown.Token);
        try
        {
            var slot = await _pools.RentAsync(run.Function, deadline.Token);
            if (deadline.Disarm() is not StopCause.None and var late)
            {
                // Granted and stopped in the same moment.
                _pools.Discard(slot);
                return (null, Stopped(late, run));
            }
            return (slot, null);
        }
        catch (OperationCanceledException) when (deadline.Disarm() is not StopCause.None and var cause)
        {
            return (null, Stopped(cause, run));
        }
        catch (ThrottledException exception)
        {
            deadline.Disarm();
            return (null, new InvocationError(FaultType.Throttled, exception.Message));
        }
        catch (EngineException exception)
        {
            deadline.Disarm();
            return (null, new InvocationError(FaultType.EngineUnavailable, exception.Message));
        }
    }

    /// <summary>Null when the sandbox runs; else what to say if no other can be had either.</summary>
    private async ValueTask<InvocationError?> PrepareWarmAsync(
        InvocationRun run, GuardedSandbox sandbox, DeadlineSource deadline, CancellationToken aborting)
    {
        var began = _time.GetTimestamp();
        var thaw = sandbox.ThawAsync(CancellationToken.None);
        if (thaw.IsCompletedSuccessfully)
        {
            run.Prepared = _time.GetElapsedTime(began);
            return null;
        }
        deadline.Arm(_initTimeout, CancellationToken.None, aborting, _shutdown.Token);
        try
        {
            await thaw.AsTask().WaitAsync(deadline.Token);
            run.Prepared = _time.GetElapsedTime(began);
            return deadline.Disarm() is not StopCause.None and var late ? Stopped(late, run) : null;
        }
        catch (OperationCanceledException) when (deadline.Disarm() is not StopCause.None and var cause)
        {
            return cause == StopCause.Deadline
                ? new InvocationError(FaultType.SandboxLost, $"Sandbox {sandbox.Id} could not be thawed within {SandboxOptions.Section}:InitTimeoutMs.")
                : Stopped(cause, run);
        }
        catch (EngineException exception)
        {
            deadline.Disarm();
            LogWarmDied(_logger, exception, sandbox.Id);
            return new InvocationError(FaultType.SandboxLost, exception.Message);
        }
    }

    [LoggerMessage(1301, LogLevel.Error, "Invocation {InvocationId} met a defect")]
    private static partial void LogDefect(ILogger logger, Exception exception, string invocationId);

    [LoggerMessage(1302, LogLevel.Warning, "The idle sandbox {SandboxId} could not be thawed; another one is taken")]
    private static partial void LogWarmDied(ILogger logger, Exception exception, string sandboxId);
}
