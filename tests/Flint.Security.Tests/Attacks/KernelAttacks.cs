namespace Flint.Security.Tests.Attacks;

/// <summary>Groups 7 to 10: writes to the kernel's settings, system calls, rights, cgroups.</summary>
internal static class KernelAttacks
{
    private const string Own = """{"own":true}""";
    private const string Foreign = """{"own":false}""";

    public static IReadOnlyList<Attack> All { get; } =
    [
        new(7, "its own score of the out-of-memory killer", "kernel.write_settings")
        {
            Control = """{"paths":["/tmp/value"],"value":"1000"}""",
            Hostile = """{"paths":["/proc/self/oom_score_adj"],"value":"1000"}""",
            Wall = "procmask",
        },
        new(7, "settings of the kernel", "kernel.write_settings")
        {
            Control = """{"paths":["/tmp/value"],"value":"1"}""",
            Hostile = """{"paths":["/proc/sys/kernel/core_pattern","/proc/sysrq-trigger","/proc/sys/kernel/hostname","/proc/sys/vm/overcommit_memory","/proc/self/uid_map","/proc/self/setgroups","/proc/sys/net/ipv4/ip_forward","/sys/kernel/uevent_helper","/proc/self/loginuid"],"value":"1"}""",
            Structural = "/proc is read-only and its settings belong to the host's root",
        },
        new(7, "core dumps", "kernel.core_dump")
        {
            In = Languages.Python,
            Control = """{"raise":false}""",
            Hostile = """{"raise":true}""",
            Structural = "the hard limit is next to nothing, and only a capability could raise it",
        },
        new(7, "mounts its code again, writable", "kernel.remount_root") { In = Languages.Python, Control = Own, Hostile = Foreign, Structural = "refused by the filter; needs a capability too; and the mount is locked" },
        new(8, "system calls that no function needs", "kernel.refused_calls")
        {
            In = Languages.Python,
            Control = """{"calls":["getpid","getuid","uname"]}""",
            Hostile = """{"calls":null}""",
            Wall = "seccomp",
        },
        new(8, "32-bit entry past the filter", "kernel.old_entries")
        {
            In = Languages.Python,
            Control = """{"way":"none"}""",
            Hostile = """{"way":"int80"}""",
            Wall = "seccomp",
        },
        new(8, "x32 numbers past the filter", "kernel.old_entries")
        {
            In = Languages.Python,
            Control = """{"way":"none"}""",
            Hostile = """{"way":"x32"}""",
            Structural = "few kernels have the x32 entry at all",
        },
        new(8, "every system call number", "kernel.sweep")
        {
            In = Languages.Python,
            Control = """{"first":39,"last":40}""",
            Hostile = """{"first":0,"last":480}""",
            Held = Held.Contained,
            TimeoutMs = 60_000,
            Structural = "the kernel must live, the sandbox be gone and the neighbours answer afterwards",
        },
        new(9, "a user namespace of its own", "kernel.new_user_namespace") { In = Languages.Python, Control = Own, Hostile = Foreign, Wall = "seccomp" },
        new(9, "capabilities", "kernel.rights") { Control = """{"look":"self"}""", Hostile = """{"look":"capabilities"}""", Wall = "caps" },
        new(9, "new privileges by exec", "kernel.rights") { Control = """{"look":"self"}""", Hostile = """{"look":"new privileges"}""", Wall = "nnp,seccomp" },
        new(9, "root's uid", "kernel.rights") { Control = """{"look":"self"}""", Hostile = """{"look":"root"}""", Wall = "uid,caps" },
        new(9, "root's groups", "kernel.rights") { Control = """{"look":"self"}""", Hostile = """{"look":"groups"}""", Wall = "uid,caps" },
        new(9, "chroot and climb out", "kernel.chroot_escape") { In = Languages.Python, Control = Own, Hostile = Foreign, Wall = "seccomp,caps,uid" },
        new(9, "mounts a tmpfs", "kernel.mount_something") { In = Languages.Python, Control = """{"kind":"none"}""", Hostile = """{"kind":"tmpfs"}""", Wall = "seccomp,caps,uid" },
        new(10, "mounts the cgroup file system", "kernel.mount_something") { In = Languages.Python, Control = """{"kind":"none"}""", Hostile = """{"kind":"cgroup2"}""", Wall = "seccomp,caps,uid" },
    ];
}
