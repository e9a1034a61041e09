using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>What is fixed when a cell is made, so that only cells of one kind can stand in for each other.</summary>
/// <param name="Tenant">Whose it is: it names the cgroup.</param>
/// <param name="Zygote">The runtime whose zygote forks the guest; null for a cell in which a guest is executed.</param>
/// <param name="Network">What it can reach.</param>
internal readonly record struct CellKind(string Tenant, string? Zygote, NetworkAccess Network);
