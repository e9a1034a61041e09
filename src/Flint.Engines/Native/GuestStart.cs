namespace Flint.Engines.Native;

/// <summary>How a guest is started in a cell: the body of START.</summary>
internal sealed record GuestStart
{
    /// <summary>The guest becomes a template after its init.</summary>
    public bool Snapshot { get; init; }
    public required uint MemoryMb { get; init; }
    public required uint TmpMb { get; init; }
    public required uint PidsMax { get; init; }
    /// <summary>On cgroup v2's scale, 1 to 10000.</summary>
    public required uint CpuWeight { get; init; }
    /// <summary>Thousandths of a core; 0 means no quota.</summary>
    public required uint CpuQuotaMilli { get; init; }
    public required uint MaxFiles { get; init; }
    /// <summary>The name of a child of the code directory.</summary>
    public required string CodeName { get; init; }
    /// <summary>Empty in a cell whose guest a zygote has forked already.</summary>
    public IReadOnlyList<string> Arguments { get; init; } = [];
    /// <summary><c>NAME=value</c> entries; empty as <see cref="Arguments"/>.</summary>
    public IReadOnlyList<string> Environment { get; init; } = [];
}
