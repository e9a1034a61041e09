using System.Text.Json;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 23: an invocation reaches for the process that it was forked from, which has its uid and lives on.</summary>
internal static class SnapshotAttacks
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        Reach("the template's memory, files and settings in /proc", "proc", "seccomp,dumpable,hidepid"),
        Reach("ptrace of the template", "ptrace", "seccomp,dumpable,hidepid"),
        Reach("the template's memory by process_vm_readv and writev", "process_vm", "seccomp,dumpable,hidepid"),
        Reach("the template's descriptors by pidfd_getfd", "pidfd_getfd", "seccomp,dumpable,hidepid"),
        Reach("the template's resource limits", "prlimit", "seccomp,dumpable,hidepid"),
        Reach("the template's scheduling", "schedule", "seccomp"),
        Reach("the template's memory by other calls", "memory", "seccomp,dumpable,hidepid"),
        Reach("a template that others may look into", "dumpable", "seccomp"),
        Reach("System V objects that outlive a fork", "system v", "seccomp"),
    ];

    private static Attack Reach(string name, string way, string wall) => new(23, name, "snapshot.reach")
    {
        In = Languages.Python,
        Control = """{"own":true}""",
        Hostile = JsonSerializer.Serialize(new { own = false, way }),
        Wall = wall,
        Modes = [Mode.Snapshot],
    };
}
