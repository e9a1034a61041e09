using System.Text.Json;

namespace Flint.Security.Tests.Attacks;

/// <summary>Group 6: programs that look for what is not theirs.</summary>
internal static class ReadAttacks
{
    private const string Own = """{"own":true}""";
    private const string Foreign = """{"own":false}""";
    private const string OwnFile = """{"paths":["/proc/self/status"]}""";

    /// <summary>A text that only the server has: the harness puts it into this process's environment.</summary>
    public static string HostSecret { get; } = $"flint-secret-{Guid.NewGuid():N}";

    public static IReadOnlyList<Attack> All { get; } =
    [
        Read("password hashes and keys of the host", "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root/.ssh/*", "/root/*", "/home/*", "/etc/machine-id",
            "/etc/ssh/*", "/etc/docker/*", "/var/lib/*", "/var/log/*", "/srv/*", "/mnt/*", "/boot/*", "/run/*") with
        {
            Structural = "the root has none of these",
        },
        Read("masked files of /proc", "/proc/keys", "/proc/key-users", "/proc/timer_list", "/proc/cmdline", "/proc/iomem", "/proc/ioports") with
        {
            Wall = "procmask",
        },
        Read("kernel memory", "/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/kmsg", "/proc/vmcore", "/dev/kmsg", "/dev/sd*", "/dev/vd*",
            "/dev/nvme*") with
        {
            Structural = "needs capabilities of the host's, and there are no such devices",
        },
        Read("/sys and the cgroup files", "/sys/fs/cgroup/*", "/sys/class/dmi/id/*", "/sys/kernel/*", "/sys/class/net/*", "/sys/devices/*") with
        {
            Structural = "there is no /sys",
        },
        Read("PID 1's environment, command line and maps", "/proc/1/environ", "/proc/1/cmdline", "/proc/1/maps", "/proc/1/mem", "/proc/1/status",
            "/proc/1/cgroup", "/proc/1/mountinfo", "/proc/1/auxv", "/proc/1/stack") with
        {
            Wall = "hidepid,uid,caps",
        },
        new(6, "memory of PID 1", "reads.read_memory_of")
        {
            In = Languages.Python,
            Control = Own,
            Hostile = Foreign,
            Wall = "hidepid,uid,caps,dumpable",
        },
        new(6, "links of PID 1 that lead out", "reads.follow_links") { Control = Own, Hostile = Foreign, Wall = "hidepid,uid,caps,dumpable" },
        new(6, "processes of others in /proc", "reads.processes")
        {
            In = Languages.Python,
            Control = """{"others":false}""",
            Hostile = """{"others":true}""",
            Structural = "a pid namespace of its own",
        },
        new(6, "the kernel's log", "reads.kernel_log")
        {
            In = Languages.Python,
            Control = Own,
            Hostile = Foreign,
            Structural = "refused by the filter, and needs a capability of the host's",
        },
        new(6, "the host's name", "reads.host_name")
        {
            Control = """{"host":""}""",
            Hostile = JsonSerializer.Serialize(new { host = System.Environment.MachineName }),
            Structural = "a uts namespace of its own, named before the guest starts",
        },
        new(6, "the server's environment", "reads.text_in")
        {
            Control = """{"text":"/var/runtime/","paths":["/proc/self/cmdline"]}""",
            Hostile = JsonSerializer.Serialize(new { text = HostSecret, paths = (string[])["/proc/*/environ", "/proc/*/cmdline", "/var/task/*", "/tmp/*"] }),
            Structural = "the launcher starts with an empty environment, and the guest with the function's own",
        },
        new(6, "the library that zygotes are started with", "reads.text_in")
        {
            Control = """{"text":"/var/runtime/","paths":["/proc/self/cmdline"]}""",
            Hostile = """{"text":"LD_PRELOAD","paths":["/proc/*/environ"]}""",
            Structural = "a forked guest's environment is its function's, and the old one is wiped",
        },
        new(6, "the names of the host's cgroups", "reads.text_in")
        {
            Control = """{"text":":/","paths":["/proc/self/cgroup"]}""",
            Hostile = """{"text":"flint/","paths":["/proc/self/cgroup","/proc/self/mountinfo"]}""",
            Structural = "a cgroup namespace of its own",
        },
        new(6, "descriptors left open", "reads.open_descriptors") { Control = Own, Hostile = Foreign, Structural = "all but 0 to 3 are closed before the guest starts" },
        new(6, "other functions' code, and what lies above", "reads.climb")
        {
            In = Languages.Python,
            Control = """{"paths":["/var/task"],"words":["cpu.py"]}""",
            Hostile = """{"paths":["/var/task/..","/var/task/../..","/code","/cell","/slots","/proc/self/root/..","/proc/self/cwd/../..","/var/runtime/.."],"words":["code","cell","slots","home","root","srv","work"]}""",
            Structural = "the root was pivoted away, and only the function's own code is mounted",
        },
    ];

    private static Attack Read(string name, params string[] paths) => new(6, name, "reads.read_files")
    {
        Control = OwnFile,
        Hostile = JsonSerializer.Serialize(new { paths }),
    };
}
