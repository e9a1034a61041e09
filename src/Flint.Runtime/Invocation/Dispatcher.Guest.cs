using System.Globalization;
using Flint.Runtime.Guest;
using Flint.Runtime.Hosting;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Runtime.Invocation;

/// <summary>Steps 3 to 6: talking to the guest, and saying what went wrong.</summary>
public sealed partial class Dispatcher
{
    private const string SnapshotAdvice =
        "Start such things in the handler, or in each fork (os.register_at_fork in Python, flint.afterFork in Node), or use freshness warm or fresh.";

    /// <summary>How long a closed channel's process may take to end, so that its exit can say why.</summary>
    private static readonly TimeSpan ExitPatience = TimeSpan.FromSeconds(1);

    /// <summary>Step 3. Null when the handler is loaded, and for a snapshot the first fork waits for its event.</summary>
    private async Task<InvocationError?> StartAsync(InvocationRun run, DeadlineSource deadline, CancellationToken caller, CancellationToken aborting)
    {
        var began = _time.GetTimestamp();
        GuardedSandbox? sandbox = null;
        deadline.Arm(_initTimeout, caller, aborting, _shutdown.Token, () => KillSoon(sandbox));
        try
        {
            sandbox = await CreateAsync(run, deadline.Token);
            run.Created = _time.GetElapsedTime(began);
            run.Reached(sandbox);
            var connection = new GuestConnection(sandbox, _guestLimits);
            _pools.Attach(run.Slot!, sandbox, connection);
            var error = await connection.InitAsync(Init(run.Function, sandbox), run.Log, deadline.Token, run.Boot);
            if (error is null && run.Function.Freshness == Freshness.Snapshot)
            {
                await _pools.ForkFirstAsync(run.Slot!, deadline.Token);
            }
            run.Initialised = _time.GetElapsedTime(began) - run.Created;
            _pools.Started(run.Slot!);
            return Settled(deadline.Disarm(), run, InitTimedOut) ?? (error is null ? null : InitFailed(run, error));
        }
        catch (Exception exception)
        {
            run.Initialised = sandbox is null ? TimeSpan.Zero : _time.GetElapsedTime(began) - run.Created;
            return Settled(deadline.Disarm(), run, sandbox is null ? NotMade : InitTimedOut) ?? InitFailed(run, await ClassifyAsync(exception, run, sandbox));
        }
    }

    /// <summary>
    /// The engine's work, abandoned when the token fires even if the engine does not listen: its unit of capacity is then given back when the engine
    /// answers at last.
    /// </summary>
    private async Task<GuardedSandbox> CreateAsync(InvocationRun run, CancellationToken cancellationToken)
    {
        var function = run.Function;
        var spec = new SandboxSpec
        {
            TenantId = function.TenantId,
            Runtime = function.Runtime,
            CodeDirectory = function.CodeDirectory,
            MemoryMb = function.MemoryMb,
            TmpMb = function.TmpMb,
            Environment = GuestEnvironment.Build(function, run.Request.Id, _time.GetUtcNow()),
            Start = function.Start,
            Network = function.Network,
            Snapshot = function.Freshness == Freshness.Snapshot,
            CpuQuotaMilli = function.CpuQuotaMilli,
        };
        var creating = _engines.CreateAsync(function.Engine, spec, cancellationToken);
        try
        {
            return await creating.WaitAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (!creating.IsCompleted || creating.IsCompletedSuccessfully)
        {
            var slot = run.Slot!;
            run.Slot = null;
            _pools.Started(slot);
            _ = creating.ContinueWith(
                late =>
                {
                    if (late.IsCompletedSuccessfully)
                    {
                        _pools.Attach(slot, late.Result, new GuestConnection(late.Result, _guestLimits));
                    }
                    _pools.Discard(slot);
                },
                CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
            throw;
        }
    }

    private static GuestInit Init(FunctionSpec function, GuardedSandbox sandbox) => new()
    {
        Handler = function.Handler,
        FunctionName = function.Name,
        FunctionVersion = function.Version,
        InvokedFunctionArn = GuestEnvironment.Arn(function),
        MemoryMb = function.MemoryMb,
        Environment = sandbox.GuestEnvironment,
        Snapshot = function.Freshness == Freshness.Snapshot,
        Call = function.Call,
        Globals = function.Globals,
    };

    /// <summary>Steps 4 and 5.</summary>
    private async Task<(GuestReply Reply, InvocationError? Error)> InvokeAsync(
        InvocationRun run, DeadlineSource deadline, CancellationToken caller, CancellationToken aborting)
    {
        var (request, slot) = (run.Request, run.Slot!);
        // Frozen, measured and killed is the whole; the event goes to the fork where there is one.
        var sandbox = slot.Sandbox!;
        var guest = slot.Fork ?? sandbox;
        var connection = slot.Connection ?? GuestConnection.AfterInit(guest, _guestLimits);
        var timeout = TimeSpan.FromMilliseconds(run.Function.TimeoutMs);
        var began = _time.GetTimestamp();
        deadline.Arm(timeout, caller, aborting, _shutdown.Token, () => KillSoon(sandbox));
        try
        {
            sandbox.ResetPeakMemory();
            run.Log.AddPlatform(PlatformLines.Start(request.Id, run.Function.Version));
            run.StartLineWritten = true;
            began = _time.GetTimestamp();
            run.Sent = true;
            var invoke = new GuestInvoke(request.Id, _time.GetUtcNow() + timeout, request.Payload, request.ClientContext, request.TraceId);
            var reply = await connection.InvokeAsync(invoke, run.Log, deadline.Token);
            run.Ran = _time.GetElapsedTime(began);
            var stopped = Settled(deadline.Disarm(), run, TimedOut);
            run.PeakMemoryBytes = ReadPeak(sandbox);
            run.Fit = stopped is null && (connection.IsUsable || slot.Fork is not null);
            return (reply, stopped ?? reply.Error);
        }
        catch (Exception exception)
        {
            run.Ran = _time.GetElapsedTime(began);
            var stopped = Settled(deadline.Disarm(), run, TimedOut);
            run.PeakMemoryBytes = ReadPeak(sandbox);
            var error = stopped ?? await ClassifyAsync(exception, run, guest, sandbox);
            // A fork that ended by itself leaves the template as it was; renewing finds out whether that holds.
            run.Fit = stopped is null && slot.Fork is { Exited.IsCompletedSuccessfully: true } && exception is GuestClosedException;
            return (default, error);
        }
        finally
        {
            if (run.Ran > timeout)
            {
                // The guest had no more than its timeout; what lies beyond is Flint's own.
                run.Ran = timeout;
            }
        }
    }

    /// <summary>Null when nothing stopped the phase; else the error for what did. A deadline writes its line into the log.</summary>
    private InvocationError? Settled(StopCause cause, InvocationRun run, Func<InvocationRun, InvocationError> onDeadline)
    {
        if (cause != StopCause.Deadline)
        {
            return cause == StopCause.None ? null : Stopped(cause, run);
        }
        var error = onDeadline(run);
        if (run.SandboxId is not null)
        {
            var now = _time.GetUtcNow().UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);
            run.Log.AddPlatform(run.StartLineWritten
                ? $"{now} {run.Request.Id} {error.Message}"
                : PlatformLines.InitReport(run.Created + run.Initialised, error.Type));
        }
        return error;
    }

    private static InvocationError Stopped(StopCause cause, InvocationRun run) => cause == StopCause.Caller
        ? new InvocationError(FaultType.Cancelled, run.Slot is null
            ? "The caller went away before the invocation had a sandbox."
            : run.Function.Call == GuestCall.Main ? "The job was cancelled." : "The caller went away, and the function is set to be cancelled then.")
        : new InvocationError(FaultType.SandboxLost, "The worker stopped before the function had answered.");

    private static InvocationError TimedOut(InvocationRun run) =>
        new(FaultType.TimedOut, "Sandbox.Timedout", PlatformLines.TimedOut(TimeSpan.FromMilliseconds(run.Function.TimeoutMs)), []);

    private InvocationError InitTimedOut(InvocationRun _) =>
        new(FaultType.TimedOut, "Sandbox.Timedout", PlatformLines.InitTimedOut(_initTimeout), []);

    private InvocationError NotMade(InvocationRun run) => new(FaultType.EngineUnavailable,
        $"The engine '{run.Function.Engine}' made no sandbox within {SandboxOptions.Section}:InitTimeoutMs = {(long)_initTimeout.TotalMilliseconds}.");

    private static InvocationError InitFailed(InvocationRun run, InvocationError error)
    {
        if (run.SandboxId is not null)
        {
            run.Log.AddPlatform(PlatformLines.InitReport(run.Created + run.Initialised, error.Type));
        }
        return error;
    }

    /// <summary>Says what an exception during init or run means, asking the sandbox's exit when the channel is gone.</summary>
    /// <param name="exception">What was thrown.</param>
    /// <param name="run">The invocation.</param>
    /// <param name="sandbox">Where it ran; null when none was made.</param>
    /// <param name="whole">The sandbox around a fork.</param>
    private async ValueTask<InvocationError> ClassifyAsync(Exception exception, InvocationRun run, GuardedSandbox? sandbox, GuardedSandbox? whole = null)
    {
        switch (exception)
        {
            case GuestProtocolException:
                return new InvocationError(FaultType.ProtocolViolation, "Runtime.ProtocolViolation", exception.Message, []);
            case SnapshotUnsafeException notSafe:
                return new InvocationError(FaultType.SnapshotUnsafe, "Runtime.SnapshotUnsafe", $"{notSafe.Message} {notSafe.Advice ?? SnapshotAdvice}", []);
            case EngineException when sandbox is null:
                LogNotMade(_logger, exception, run.Function.Engine);
                return new InvocationError(FaultType.EngineUnavailable, exception.Message);
            case GuestClosedException or EngineException when sandbox is not null:
                return await ClassifyExitAsync(exception, run, sandbox, whole ?? sandbox);
            default:
                LogDefect(_logger, exception, run.Request.Id);
                return new InvocationError(FaultType.SandboxLost, "An internal error ended the invocation; the server's log has it.");
        }
    }

    private async ValueTask<InvocationError> ClassifyExitAsync(Exception exception, InvocationRun run, GuardedSandbox sandbox, GuardedSandbox whole)
    {
        await ((Task)sandbox.Exited).WaitAsync(ExitPatience, _time, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!sandbox.Exited.IsCompletedSuccessfully)
        {
            return exception is EngineException
                ? new InvocationError(FaultType.SandboxLost, exception.Message)
                : new InvocationError(FaultType.ExitedEarly, "Runtime.ExitError", $"RequestId: {run.Request.Id} Error: Runtime closed its channel without answering", []);
        }
        var exit = whole is { Exited: { IsCompletedSuccessfully: true, Result: { OutOfMemory: true } all } } ? all : await sandbox.Exited;
        if (exit.OutOfMemory)
        {
            // The kernel killed it at its limit, so the limit is the true peak, also where the counter is gone with the sandbox.
            run.PeakMemoryBytes ??= (long)run.Function.MemoryMb << 20;
        }
        // A sample of the log says whether V8 gave up at its heap limit; platform lines are still to come.
        return GuestExits.Classify(exit, run.Log.Snapshot(), run.Request.Id);
    }

    private static long? ReadPeak(GuardedSandbox sandbox)
    {
        try
        {
            return sandbox.ReadPeakMemory();
        }
        catch (EngineException)
        {
            // It is gone, and its counter with it.
            return null;
        }
    }

    /// <summary>
    /// The invocation is over for its caller. The guest's last words are read for a moment; then the sandbox is killed, so that an engine that does not
    /// come back from draining cannot hold the answer.
    /// </summary>
    private void KillSoon(GuardedSandbox? sandbox)
    {
        if (sandbox is not null)
        {
            _pools.KillSoon(sandbox);
        }
    }

    [LoggerMessage(1303, LogLevel.Error, "The engine {Engine} made no sandbox")]
    private static partial void LogNotMade(ILogger logger, Exception exception, string engine);
}
