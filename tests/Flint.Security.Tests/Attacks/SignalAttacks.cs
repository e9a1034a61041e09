using Flint.Runtime.Invocation;

namespace Flint.Security.Tests.Attacks;

/// <summary>Groups 19 and 20: races for paths, signals, and clocks.</summary>
internal static class SignalAttacks
{
    private const string Own = """{"own":true}""";
    private const string Foreign = """{"own":false}""";

    public static IReadOnlyList<Attack> All { get; } =
    [
        new(19, "links swapped while it ends", "races.swap_links")
        {
            Control = """{"seconds":0.1,"goOn":false}""",
            Hostile = """{"seconds":0.3,"goOn":true}""",
            Held = Held.Contained,
            Structural = "nobody outside opens a path inside a sandbox",
        },
        new(19, "its working directory renamed and removed beneath it", "races.rename_cwd")
        {
            Control = """{"rounds":10}""",
            Hostile = """{"rounds":2000}""",
            Held = Held.Contained,
            Structural = "nobody outside opens a path inside a sandbox",
        },
        new(19, "mounts over what the platform uses", "races.mount_over")
        {
            In = Languages.Python,
            Control = Own,
            Hostile = Foreign,
            Wall = "seccomp,caps,uid",
        },
        new(19, "replaces devices and its own program", "races.replace_devices")
        {
            Control = Own,
            Hostile = Foreign,
            Structural = "/dev is read-only and belongs to the host's root; programs are on read-only mounts",
        },
        new(20, "sets the clock", "clocks.set_clock")
        {
            In = Languages.Python,
            Control = Own,
            Hostile = Foreign,
            Structural = "refused by the filter, and needs a capability of the host's",
        },
        new(20, "storm of timers", "clocks.timer_storm")
        {
            Control = """{"timers":3,"seconds":0.05}""",
            Hostile = """{"timers":100,"seconds":0.4}""",
            Held = Held.Contained,
            Structural = "timers are the process's own, and the processor time that they take is its sandbox's",
        },
        new(20, "signals queued without end", "clocks.signal_queue")
        {
            In = Languages.Python,
            Control = """{"signals":10}""",
            Hostile = """{"signals":5000000}""",
            Structural = "a resource limit of its own user's, which only a capability could raise",
        },
        new(20, "stops its cell's PID 1", "clocks.stop_init") { Control = Own, Hostile = Foreign, Wall = "uid,caps" },
        Attack.Ended(20, "stopped from within while it has to answer", "clocks.stop_and_answer", FaultType.TimedOut) with
        {
            In = Languages.Python,
            Control = """{"seconds":0.02}""",
            Hostile = """{"seconds":3}""",
            TimeoutMs = 600,
            Loosen = static function => function with { TimeoutMs = 20_000 },
        },
        Attack.Ended(20, "stops itself, woken by a shell", "clocks.stop_itself", FaultType.TimedOut) with
        {
            In = Languages.Node,
            Control = """{"seconds":0.02}""",
            Hostile = """{"seconds":3}""",
            TimeoutMs = 600,
            Loosen = static function => function with { TimeoutMs = 20_000 },
        },
    ];
}
