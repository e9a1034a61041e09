using Flint.Runtime.Guest;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Invocation;

/// <summary>What the dispatcher knows about one invocation while it is under way. Owned by one dispatch; not thread-safe.</summary>
internal sealed class InvocationRun(InvocationRequest request, InvocationLog log, TimeProvider time)
{
    private readonly long _asked = time.GetTimestamp();
    private long _reached;
    private SandboxMaking _making;

    public InvocationRequest Request { get; } = request;
    public FunctionSpec Function => Request.Function;
    public InvocationLog Log { get; } = log;

    /// <summary>Null before one was granted, and after it was given back or handed on.</summary>
    public PooledSandbox? Slot { get; set; }

    /// <summary>The sandbox is fit for another invocation.</summary>
    public bool Fit { get; set; }

    /// <summary>The event may have reached the guest: from here on the function is to blame for a broken channel, and nothing is retried.</summary>
    public bool Sent { get; set; }

    public string? SandboxId { get; private set; }
    public StartMode? Start { get; private set; }
    public string? StartReason { get; private set; }
    public DateTimeOffset StartedAt { get; set; }
    public bool ColdStart { get; set; }
    public bool StartLineWritten { get; set; }
    public TimeSpan Queued { get; set; }
    public TimeSpan Created { get; set; }
    /// <summary>From the sandbox being made to the loaded handler; <see cref="Booted"/> is its first part.</summary>
    public TimeSpan Initialised { get; set; }
    public TimeSpan Booted { get; private set; }
    public TimeSpan Prepared { get; set; }
    public TimeSpan Ran { get; set; }
    public long? PeakMemoryBytes { get; set; }
    public TimeSpan? InitDuration => ColdStart ? Created + Initialised : null;

    public void Granted()
    {
        Queued = time.GetElapsedTime(_asked);
        StartedAt = time.GetUtcNow();
    }

    /// <summary>It has this sandbox.</summary>
    public void Reached(GuardedSandbox sandbox)
    {
        (SandboxId, Start, StartReason, _making) = (sandbox.Id, sandbox.Start, sandbox.StartReason, sandbox.Making);
        _reached = time.GetTimestamp();
    }

    /// <summary>Its guest is up, and has read no user code.</summary>
    public void Boot() => Booted = time.GetElapsedTime(_reached);

    /// <summary>The sandbox was no good, and it has not seen the event.</summary>
    public void Lost() => (SandboxId, Start, StartReason) = (null, null, null);

    public InvocationOutcome Outcome(ReadOnlyMemory<byte> result, InvocationError? error)
    {
        WriteLines(error?.Type);
        var completedAt = time.GetUtcNow();
        return new InvocationOutcome
        {
            Status = error switch
            {
                null => InvocationStatus.Completed,
                { Type: FaultType.Cancelled } => InvocationStatus.Cancelled,
                _ => InvocationStatus.Failed,
            },
            Result = error is null ? result : default,
            Error = error,
            ColdStart = ColdStart,
            StartedAt = StartedAt == default ? completedAt : StartedAt,
            CompletedAt = completedAt,
            Duration = Ran,
            InitDuration = InitDuration,
            PeakMemoryBytes = PeakMemoryBytes,
            SandboxId = SandboxId,
            Start = Start,
            StartReason = StartReason,
            Log = Log.Complete(),
            Timings = new InvocationTimings(Queued, Created, Booted, Initialised > Booted ? Initialised - Booted : TimeSpan.Zero, Prepared, Ran, ColdStart ? _making : default),
        };
    }

    /// <summary>An invocation that never had a sandbox has no log; every other one reads START, END, REPORT, also when its init failed.</summary>
    private void WriteLines(FaultType? error)
    {
        if (SandboxId is null)
        {
            return;
        }
        if (!StartLineWritten)
        {
            Log.AddPlatform(PlatformLines.Start(Request.Id, Function.Version));
        }
        Log.AddPlatform(PlatformLines.End(Request.Id));
        Log.AddPlatform(PlatformLines.Report(this, error));
    }
}
