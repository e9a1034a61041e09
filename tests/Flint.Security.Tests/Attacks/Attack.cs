using Flint.Runtime.Invocation;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests.Attacks;

[Flags]
public enum Languages
{
    Python = 1,
    Node = 2,
    Both = Python | Node,
}

/// <summary>What an attack meets while every wall stands.</summary>
public enum Held
{
    /// <summary>It answers that it got nothing: <c>{"worked": false}</c>.</summary>
    Refused,
    /// <summary>It gets what it asked for, but only inside its sandbox; what matters is that nothing of it is left afterwards.</summary>
    Contained,
    /// <summary>Its invocation fails with one of <see cref="Attack.Faults"/>.</summary>
    Ended,
}

/// <summary>
/// One hostile program. The same handler serves three times: with the control event it must work (so that a failure of the attack proves
/// something), with the hostile event it must be held, and without its wall the hostile event must work.
/// </summary>
/// <param name="Group">Number of the group in docs/security-model.md.</param>
/// <param name="Name">Unique; what the table of the security model shows.</param>
/// <param name="Handler">In Python's spelling, <c>module.function_name</c>; the Node program has the same in camel case.</param>
internal sealed record Attack(int Group, string Name, string Handler)
{
    public Languages In { get; init; } = Languages.Both;

    public string Control { get; init; } = "{}";

    public string Hostile { get; init; } = "{}";

    /// <summary>A variable that only the hostile run has in its environment.</summary>
    public (string Name, string Value)? HostileEnvironment { get; init; }

    public Held Held { get; init; } = Held.Refused;

    public IReadOnlyList<FaultType> Faults { get; init; } = [];

    /// <summary>The launcher's walls whose removal lets it succeed, as its test variant spells them; null when there is none to remove.</summary>
    public string? Wall { get; init; }

    /// <summary>The function's setting whose change lets it succeed.</summary>
    public Func<FunctionSpec, FunctionSpec>? Loosen { get; init; }

    /// <summary>Why no wall can be taken away: what holds it is no single step that could be left out.</summary>
    public string? Structural { get; init; }

    public int TimeoutMs { get; init; } = 10_000;

    public int MemoryMb { get; init; } = 256;

    public int TmpMb { get; init; } = 64;

    /// <summary>Where it is run.</summary>
    public IReadOnlyList<Mode> Modes { get; init; } = [Mode.Exec, Mode.Zygote, Mode.Snapshot];

    public bool HasWall => Wall is not null || Loosen is not null;

    public static Attack Ended(int group, string name, string handler, params FaultType[] faults) =>
        new(group, name, handler) { Held = Held.Ended, Faults = faults };
}
