using Flint.Runtime.Invocation;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 3: programs that make processes without end, or reach for others'.</summary>
internal static class ProcessAttacks
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        new(3, "fork bomb", "processes.fork_bomb")
        {
            Control = """{"children":3}""",
            Hostile = """{"children":1100}""",
            MemoryMb = 3008,
            TimeoutMs = 120_000,
            Wall = "pids",
        },
        new(3, "zombie bomb", "processes.zombie_bomb")
        {
            In = Languages.Python,
            Control = """{"children":3}""",
            Hostile = """{"children":1100}""",
            MemoryMb = 1024,
            TimeoutMs = 120_000,
            Wall = "pids",
        },
        Attack.Ended(3, "fork bomb that never answers", "processes.exponential_fork_bomb", FaultType.TimedOut, FaultType.OutOfMemory) with
        {
            In = Languages.Python,
            Control = """{"bomb":false}""",
            Hostile = """{"bomb":true}""",
            TimeoutMs = 1500,
            Structural = "it is never run without its walls: it would take the machine along",
        },
        Attack.Ended(3, "kill -9 -1", "processes.kill_everything", FaultType.ExitedEarly) with
        {
            In = Languages.Python,
            Control = """{"own":true}""",
            Hostile = """{"own":false}""",
            Held = Held.Contained,
            Structural = "a pid namespace of its own: there is nobody else to reach",
        },
        new(3, "kill of its cell's PID 1", "processes.kill_init")
        {
            Control = """{"own":true}""",
            Hostile = """{"own":false}""",
            Wall = "uid,caps",
        },
        new(3, "signals to every pid", "processes.signal_others")
        {
            In = Languages.Python,
            Control = """{"upTo":4000,"others":false}""",
            Hostile = """{"upTo":40000,"others":true}""",
            Structural = "a pid namespace of its own: there is nobody else to reach",
            // A fork of a snapshot reaches its template, which has its uid: SnapshotTests shows that it can end it, and nothing more.
            Modes = [Mode.Exec, Mode.Zygote],
        },
    ];
}
