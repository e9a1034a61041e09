namespace Flint.Contracts.Host;

/// <summary>Answer of <c>GET /api/runtimes</c>.</summary>
public sealed record RuntimesView(IReadOnlyList<RuntimeView> Runtimes, IReadOnlyList<EngineView> Engines);

/// <summary>A runtime that functions can name.</summary>
/// <param name="Name">Concrete, such as <c>nodejs20</c>.</param>
/// <param name="Aliases">Such as <c>javascript</c> for the newest.</param>
/// <param name="Engines">The engines that have it.</param>
public sealed record RuntimeView(string Name, IReadOnlyList<string> Aliases, IReadOnlyList<string> Engines);

/// <summary>An engine of this server.</summary>
/// <param name="Name">As a function's <c>engine</c> names it.</param>
/// <param name="Available">Whether it can make sandboxes.</param>
/// <param name="Reason">Why not.</param>
/// <param name="Runtimes">Concrete runtimes.</param>
/// <param name="Unenforced">Limits that this host cannot enforce and the operator allowed to be missing.</param>
/// <param name="NoSnapshot">Why functions cannot have <c>freshness: snapshot</c> here; absent when they can.</param>
/// <param name="NoEgress">Why functions cannot have <c>network: egress</c> here; absent when they can.</param>
public sealed record EngineView(
    string Name, bool Available, string? Reason, IReadOnlyList<string> Runtimes, IReadOnlyList<string> Unenforced, string? NoSnapshot, string? NoEgress);
