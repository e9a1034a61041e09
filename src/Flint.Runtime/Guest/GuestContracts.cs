using Flint.Runtime.Invocation;

namespace Flint.Runtime.Guest;

/// <summary>What the guest is told once, before any event. See guest/PROTOCOL.md, frame INIT.</summary>
public sealed record GuestInit
{
    public required string Handler { get; init; }
    public required string FunctionName { get; init; }
    public required string FunctionVersion { get; init; }
    public required string InvokedFunctionArn { get; init; }
    public required int MemoryMb { get; init; }
    /// <summary>Where the guest sees the function's code.</summary>
    public string TaskRoot { get; init; } = "/var/task";
    /// <summary>Set by the guest itself when it was forked from a zygote; null when the process already has its environment.</summary>
    public IReadOnlyDictionary<string, string>? Environment { get; init; }
    /// <summary>The process becomes a template after INIT_OK.</summary>
    public bool Snapshot { get; init; }
    public GuestCall Call { get; init; }
    public GuestGlobals Globals { get; init; }
}

/// <summary>What the guest is told for each event, beside the payload. See guest/PROTOCOL.md, frame INVOKE.</summary>
public readonly record struct GuestInvoke(
    string RequestId, DateTimeOffset Deadline, ReadOnlyMemory<byte> Payload, string? ClientContext, string? TraceId);

/// <summary>The guest's one answer to an INVOKE: a result (checked UTF-8 JSON) or an error.</summary>
public readonly record struct GuestReply(ReadOnlyMemory<byte> Result, InvocationError? Error);

/// <summary>Bounds on what a guest may send. Every length is checked before anything is allocated for it.</summary>
public sealed record GuestLimits
{
    /// <summary>Default: Lambda's 6 MB.</summary>
    public int MaxResultBytes { get; init; } = 6 * 1024 * 1024;
    public int MaxErrorBytes { get; init; } = 256 * 1024;
    public int MaxLogFrameBytes { get; init; } = 64 * 1024;
    public int MaxLogBytes { get; init; } = 1024 * 1024;
    /// <summary>Nesting of a result's JSON. Default: what System.Text.Json and most parsers take as theirs, times two.</summary>
    public int MaxJsonDepth { get; init; } = 128;
}

/// <summary>The guest broke the protocol; its sandbox must be destroyed.</summary>
public sealed class GuestProtocolException(string message) : Exception(message);

/// <summary>The channel ended before the answer; the sandbox's exit says why.</summary>
public sealed class GuestClosedException(string message, Exception? inner = null) : Exception(message, inner);
