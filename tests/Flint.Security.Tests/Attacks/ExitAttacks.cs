using System.Text.Json;
using Flint.Runtime.Invocation;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 21: programs that end in ways that are to be mistaken for something else.</summary>
internal static class ExitAttacks
{
    private const string Classified = "nothing to hold back: it must be called what it is";

    public static IReadOnlyList<Attack> All { get; } =
    [
        Exit("exit 137", Languages.Both, FaultType.ExitedEarly),
        Exit("exit 0", Languages.Both, FaultType.ExitedEarly),
        Exit("sigkill", Languages.Both, FaultType.ExitedEarly),
        Exit("abort", Languages.Both, FaultType.ExitedEarly),
        Exit("segfault", Languages.Python, FaultType.ExitedEarly),
        Exit("sigsys", Languages.Python, FaultType.ExitedEarly),
        Exit("stack overflow", Languages.Both, FaultType.ExitedEarly, FaultType.OutOfMemory),
        Exit("sys.exit", Languages.Python, FaultType.ExitedEarly, FaultType.Unhandled),
        Exit("exit in a thread", Languages.Python, FaultType.ExitedEarly),
        Exit("exec", Languages.Python, FaultType.ExitedEarly),
        Exit("exec away", Languages.Python, FaultType.ExitedEarly, FaultType.TimedOut) with { TimeoutMs = 700 },
        Exit("raise SystemExit subclass", Languages.Python, FaultType.ExitedEarly, FaultType.Unhandled),
        Exit("raise BaseException", Languages.Python, FaultType.Unhandled),
        Exit("error that cannot be shown", Languages.Both, FaultType.Unhandled),
        Exit("reallyExit", Languages.Node, FaultType.ExitedEarly),
        Exit("exit in a timer", Languages.Node, FaultType.ExitedEarly),
        Exit("exit hook that loops", Languages.Node, FaultType.TimedOut, FaultType.ExitedEarly) with { TimeoutMs = 1000 },
        Exit("never", Languages.Node, FaultType.ExitedEarly),
        Exit("never, with a timer", Languages.Node, FaultType.TimedOut) with { TimeoutMs = 1000 },
        Exit("unhandled rejection", Languages.Node, FaultType.Unhandled),
        Exit("throw in a timer", Languages.Node, FaultType.Unhandled, FaultType.ExitedEarly),
        Exit("throw null", Languages.Node, FaultType.Unhandled),
        Exit("throw a proxy", Languages.Node, FaultType.Unhandled),
        Exit("result that throws", Languages.Node, FaultType.InvalidResponse, FaultType.Unhandled),
        Exit("thenable that never settles", Languages.Node, FaultType.ExitedEarly),
    ];

    private static Attack Exit(string how, Languages languages, params FaultType[] faults) =>
        Attack.Ended(21, $"ends by: {how}", "exits.end", faults) with
        {
            In = languages,
            Control = """{"how":"return"}""",
            Hostile = JsonSerializer.Serialize(new { how }),
            TimeoutMs = 8000,
            Structural = Classified,
        };
}
