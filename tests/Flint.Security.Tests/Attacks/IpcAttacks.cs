namespace Flint.Security.Tests.Attacks;

/// <summary>Group 5: descriptors and the kernel's shared tables.</summary>
internal static class IpcAttacks
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        new(5, "descriptor bombs (files, eventfd, epoll, timerfd, inotify)", "ipc.descriptors")
        {
            In = Languages.Python,
            Control = """{"count":20}""",
            Hostile = """{"count":2000}""",
            Structural = "a resource limit of the guest's own process, which only a capability could raise",
        },
        new(5, "key in the kernel's keyring", "ipc.keyring")
        {
            In = Languages.Python,
            Control = """{"own":true}""",
            Hostile = """{"own":false}""",
            Wall = "seccomp",
        },
    ];
}
