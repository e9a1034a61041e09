using System.Collections.Immutable;
using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Invocation;

/// <summary>
/// The frozen view of one function version that an invocation uses. Made by the server's catalog, never mutated: a change of the
/// function makes a new spec with a new <see cref="Revision"/>, and the pool retires sandboxes of the old one.
/// </summary>
public sealed record FunctionSpec
{
    public required string TenantId { get; init; }
    public required string FunctionId { get; init; }
    public required string Name { get; init; }
    /// <summary><c>$LATEST</c> or a decimal number.</summary>
    public required string Version { get; init; }
    /// <summary>Changes with every change of code or settings; the generation of the pool.</summary>
    public required string Revision { get; init; }
    /// <summary>A concrete runtime such as <c>python3.11</c> or <c>nodejs20</c>, never an alias.</summary>
    public required string Runtime { get; init; }
    public required string Handler { get; init; }
    /// <summary>Absolute path of the unpacked code on this host, named by content; mounted read-only at /var/task.</summary>
    public required string CodeDirectory { get; init; }
    public int MemoryMb { get; init; } = 128;
    public int TimeoutMs { get; init; } = 3000;
    /// <summary>Size of /tmp, accounted beyond <see cref="MemoryMb"/>.</summary>
    public int TmpMb { get; init; } = 512;
    public ImmutableSortedDictionary<string, string> Environment { get; init; } =
        ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);
    public Freshness Freshness { get; init; } = Freshness.Warm;
    /// <summary>How its sandboxes are started. Exec is chosen per function; zygote where the engine has one and the environment allows it.</summary>
    public StartMode Start { get; init; } = StartMode.Zygote;
    public NetworkAccess Network { get; init; } = NetworkAccess.None;
    /// <summary>The engine's name, such as <c>native</c>.</summary>
    public string Engine { get; init; } = "native";
    /// <summary>When the caller of a synchronous invocation goes away: true kills the run, false (Lambda's way) lets it finish.</summary>
    public bool CancelOnDisconnect { get; init; }
    /// <summary>How <see cref="Handler"/> is called.</summary>
    public GuestCall Call { get; init; } = GuestCall.Handler;
    /// <summary>What its code finds; anything but full only with <see cref="GuestCall.Main"/>.</summary>
    public GuestGlobals Globals { get; init; } = GuestGlobals.Full;
    /// <summary>Hard CPU quota in thousandths of a core; null: a share by memory, as Lambda gives it. Refused where the host cannot enforce it.</summary>
    public int? CpuQuotaMilli { get; init; }

    public SpecKey Key => new(TenantId, FunctionId, Version, Revision);
}

/// <summary>What a warm sandbox may be reused for: exactly one tenant, function, version and revision.</summary>
public readonly record struct SpecKey(string TenantId, string FunctionId, string Version, string Revision);

/// <summary>How a guest's function is called (guest/PROTOCOL.md, "Jobs").</summary>
public enum GuestCall
{
    /// <summary>As Lambda does: <c>handler(event, context)</c>.</summary>
    Handler,
    /// <summary>As a job: the payload is a JSON array, and the function is called with its elements. The log is as written, without Lambda's prefixes.</summary>
    Main,
}

/// <summary>What the language offers to a job's code. No wall either way: that is the sandbox.</summary>
public enum GuestGlobals
{
    Full,
    /// <summary>The language without files, processes, network and modules (but Python's harmless ones), for teaching. One file only.</summary>
    Limited,
}

public enum Freshness
{
    /// <summary>The sandbox is kept for the next invocation of the same function version (Lambda's way).</summary>
    Warm,
    /// <summary>A new sandbox for every invocation.</summary>
    Fresh,
    /// <summary>
    /// The initialised process is kept, never runs an event itself, and is forked for every invocation: each one begins from the same pristine state, and
    /// init is not repeated.
    /// </summary>
    Snapshot,
}
