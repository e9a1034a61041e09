using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.Security.Tests.Attacks;

namespace Flint.Security.Tests.Harness;

/// <summary>How a guest's process comes to be; every attack runs in each.</summary>
public enum Mode
{
    /// <summary>An interpreter of its own.</summary>
    Exec,

    /// <summary>Forked from a booted interpreter into a new cell.</summary>
    Zygote,

    /// <summary>Forked from the function's own initialised process, which outlives it.</summary>
    Snapshot,
}

internal static class Modes
{
    /// <summary>The modes that the engine has; the others' rows are not made.</summary>
    public static IReadOnlyList<Mode> Built { get; } = [Mode.Exec, Mode.Zygote, Mode.Snapshot];

    /// <summary>Each language in each mode.</summary>
    public static IEnumerable<TheoryDataRow<Languages, Mode>> Rows() =>
        from mode in Built
        from language in (Languages[])[Languages.Python, Languages.Node]
        select new TheoryDataRow<Languages, Mode>(language, mode);

    /// <summary>One process for one invocation, whatever the mode.</summary>
    public static FunctionSpec In(this FunctionSpec function, Mode mode) => mode switch
    {
        Mode.Exec => function with { Start = StartMode.Exec, Freshness = Freshness.Fresh },
        Mode.Zygote => function with { Start = StartMode.Zygote, Freshness = Freshness.Fresh },
        _ => function with { Start = StartMode.Zygote, Freshness = Freshness.Snapshot },
    };
}
