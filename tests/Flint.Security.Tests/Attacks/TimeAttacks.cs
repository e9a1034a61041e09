using Flint.Runtime.Invocation;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 1: programs that take time, or refuse to end. The wall is the function's timeout.</summary>
internal static class TimeAttacks
{
    private const string Short = """{"seconds":0.02}""";
    private const string Long = """{"seconds":1.5}""";

    public static IReadOnlyList<Attack> All { get; } =
    [
        OverTime("busy loop", "cpu.busy_loop", Languages.Both),
        OverTime("sleep past the limit", "cpu.sleep_past_limit", Languages.Both),
        OverTime("every signal caught and ignored", "cpu.ignore_signals", Languages.Both),
        OverTime("stops itself to hold its slot", "cpu.stop_itself", Languages.Python),
        OverTime("endless promise jobs", "cpu.microtask_loop", Languages.Node),
        OverTime("blocks in Atomics.wait", "cpu.block_on_shared_memory", Languages.Node),
        OverTime("spinning children in sessions of their own", "cpu.children_that_spin", Languages.Python) with
        {
            Control = """{"seconds":0.02,"children":1}""",
            Hostile = """{"seconds":1.5,"children":8}""",
        },
        OverTime("regular expression that blows up", "cpu.regex_blow_up", Languages.Both) with
        {
            Control = """{"letters":8}""",
            Hostile = """{"letters":25}""",
            TimeoutMs = 200,
            Loosen = static function => function with { TimeoutMs = 60_000 },
        },
        new(1, "thread bomb", "cpu.thread_bomb")
        {
            In = Languages.Python,
            Control = """{"threads":8}""",
            Hostile = """{"threads":1200}""",
            MemoryMb = 1024,
            Wall = "pids",
        },
        new(1, "daemon by double fork and setsid", "cpu.daemon")
        {
            Control = """{"seconds":0.1}""",
            Hostile = """{"seconds":600}""",
            Held = Held.Contained,
            Structural = "the kernel ends a pid namespace with its PID 1",
        },
    ];

    private static Attack OverTime(string name, string handler, Languages languages) =>
        Attack.Ended(1, name, handler, FaultType.TimedOut) with
        {
            In = languages,
            Control = Short,
            Hostile = Long,
            TimeoutMs = 600,
            Loosen = static function => function with { TimeoutMs = 20_000 },
        };
}
