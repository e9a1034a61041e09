namespace Flint.Runtime.Sandboxing;

/// <summary>What a sandbox is made from. Every limit in it is enforced, or the engine refuses the spec.</summary>
public sealed record SandboxSpec
{
    public required string TenantId { get; init; }
    /// <summary>A concrete runtime such as <c>python3.11</c>.</summary>
    public required string Runtime { get; init; }
    /// <summary>Absolute host path, mounted read-only at /var/task.</summary>
    public required string CodeDirectory { get; init; }
    public required int MemoryMb { get; init; }
    /// <summary>Size of the private /tmp, accounted beyond <see cref="MemoryMb"/>.</summary>
    public required int TmpMb { get; init; }
    /// <summary>The function's environment; the engine lays its runtime's own variables (PATH, LANG ...) beneath, so these win.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }
    /// <summary>A wish: an engine without a zygote for the runtime, or for this environment, starts by exec and says so.</summary>
    public StartMode Start { get; init; } = StartMode.Zygote;
    public NetworkAccess Network { get; init; } = NetworkAccess.None;
    /// <summary>The process becomes a template after its init (<see cref="ISandbox.Template"/>). An engine that cannot do that refuses.</summary>
    public bool Snapshot { get; init; }
    /// <summary>Hard CPU quota in thousandths of a core; null means weight by memory only.</summary>
    public int? CpuQuotaMilli { get; init; }
    /// <summary>Processes and threads. Default: Lambda's 1024.</summary>
    public int MaxProcesses { get; init; } = 1024;
    /// <summary>Open files of each process. Default: Lambda's 1024.</summary>
    public int MaxOpenFiles { get; init; } = 1024;
}
