namespace Flint.Runtime.Sandboxing;

/// <summary>What an engine finds on this host: for <c>doctor</c> and <c>/health/ready</c>.</summary>
/// <param name="Engine">The engine's name.</param>
/// <param name="Available">It can make sandboxes with the present configuration.</param>
/// <param name="Summary">One line: how it runs here, or why it cannot.</param>
/// <param name="Runtimes">Concrete runtime names that it found.</param>
/// <param name="Findings">All that the host does not offer, with advice; empty on a host that offers everything.</param>
public sealed record EngineReport(
    string Engine, bool Available, string Summary, IReadOnlyList<string> Runtimes, IReadOnlyList<EngineFinding> Findings);

/// <summary>Something that the host does not offer.</summary>
/// <param name="What">The ability, such as <c>memory</c>.</param>
/// <param name="Why">What stands in the way.</param>
/// <param name="Fix">What the operator can do, with the command or the knob.</param>
/// <param name="Blocking">The engine refuses to work without it.</param>
public sealed record EngineFinding(string What, string Why, string Fix, bool Blocking);
