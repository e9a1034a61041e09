namespace Flint.Runtime.Invocation;

/// <summary>
/// Why an invocation failed: the closed list behind <c>error.type</c>, grouped by who is at fault.
/// The member names are the wire names. Adding one is a change of the public API.
/// </summary>
public enum FaultType
{
    // ---- the function
    /// <summary>The handler threw; the guest's own class is in <see cref="InvocationError.Name"/>.</summary>
    Unhandled,
    /// <summary>The function's timeout, or the init limit, ran out; the sandbox was killed.</summary>
    TimedOut,
    /// <summary>The sandbox reached its memory limit, or V8 its heap limit; the sandbox was killed.</summary>
    OutOfMemory,
    /// <summary>The guest process ended (exit, signal, closed channel) before it answered.</summary>
    ExitedEarly,
    /// <summary>The result exceeds the response limit.</summary>
    ResponseTooLarge,
    /// <summary>The result is not JSON, not UTF-8, or nested too deeply.</summary>
    InvalidResponse,
    /// <summary>The handler's module, or something that it imports, cannot be loaded.</summary>
    ImportError,
    /// <summary>The module has no such handler, or it is not callable.</summary>
    HandlerNotFound,
    /// <summary>The handler's module does not parse.</summary>
    SyntaxError,
    /// <summary>The function's freshness is snapshot, and its initialised process holds what a fork would lose or share (threads, children, sockets, shared memory).</summary>
    SnapshotUnsafe,
    /// <summary>The guest broke the guest protocol.</summary>
    ProtocolViolation,
    /// <summary>A webhook did not take its delivery.</summary>
    DeliveryFailed,

    // ---- the platform
    /// <summary>The sandbox vanished and the guest is not to blame.</summary>
    SandboxLost,
    /// <summary>No engine could make the sandbox.</summary>
    EngineUnavailable,

    // ---- the caller
    /// <summary>A concurrency or queue limit refused the invocation; it did not run.</summary>
    Throttled,
    /// <summary>The event is not valid JSON, or exceeds the request limit; it did not run.</summary>
    InvalidPayload,
    /// <summary>The caller cancelled, or went away from a function that is set to cancel then.</summary>
    Cancelled,
    /// <summary>It had not begun when its time to live ran out.</summary>
    Expired,
    /// <summary>The function, version or alias that was queued is gone; it did not run.</summary>
    FunctionNotFound,
    /// <summary>Destinations led from function to function too often; it did not run.</summary>
    LoopDetected,
    /// <summary>A webhook's host has no address that may be reached; nothing was sent.</summary>
    DestinationRefused,
}

/// <summary>Who is at fault; decides the HTTP status, the log level and whether a retry can help.</summary>
public enum FaultOwner { Function, Platform, Caller }

/// <summary>The one place that groups <see cref="FaultType"/>.</summary>
public static class FaultTypes
{
    public static FaultOwner Owner(this FaultType type) => type switch
    {
        FaultType.SandboxLost or FaultType.EngineUnavailable => FaultOwner.Platform,
        FaultType.Throttled or FaultType.InvalidPayload or FaultType.Cancelled or FaultType.Expired or FaultType.FunctionNotFound or FaultType.LoopDetected
            or FaultType.DestinationRefused => FaultOwner.Caller,
        _ => FaultOwner.Function,
    };
}
