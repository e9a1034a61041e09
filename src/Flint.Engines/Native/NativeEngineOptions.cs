namespace Flint.Engines.Native;

/// <summary>The native engine's settings: <c>Flint:Sandbox:Native</c>.</summary>
public sealed class NativeEngineOptions
{
    /// <summary>
    /// Path of the launcher. Default: empty, which looks for <c>flint-launcher</c> beside the server and then for
    /// <c>native/build/flint-launcher</c> in the folders above it.
    /// </summary>
    public string LauncherPath { get; set; } = "";

    /// <summary>
    /// The folder with the guests' bootstraps and <c>runtimes.json</c>. Default: empty, which looks for <c>guest</c> beside the server and then in
    /// the folders above it.
    /// </summary>
    public string GuestPath { get; set; } = "";

    /// <summary>
    /// A folder with an unpacked root file system for the sandboxes. Default: empty, a synthetic root of read-only binds of the host's
    /// /usr. Its interpreters are looked for in its own usr/bin and usr/local/bin.
    /// </summary>
    public string RootPath { get; set; } = "";

    /// <summary>
    /// Paths of interpreters by runtime name (such as <c>python3.12</c> or <c>nodejs22</c>), as seen inside the sandbox, beside those that are found by
    /// themselves. Default: none.
    /// </summary>
    public Dictionary<string, string> Interpreters { get; set; } = new(StringComparer.Ordinal);

    /// <summary>
    /// First of the host uids (and gids) that sandboxes get when Flint runs as root. Range 65536 to 4294900000; default 1900000000, above what
    /// systemd hands to containers (524288 to 1879048191).
    /// </summary>
    public long UidBase { get; set; } = 1_900_000_000;

    /// <summary>How many host uids; one per live sandbox. Range 16 to 1000000; default 65536.</summary>
    public int UidCount { get; set; } = 65536;

    /// <summary>
    /// Where cgroups are made: <c>auto</c> (default), <c>none</c>, or a path below each hierarchy's mount point that this user may write. <c>none</c>
    /// enforces neither memory nor pids and so needs <c>Flint:Sandbox:AllowUnenforced</c>.
    /// </summary>
    public string Cgroup { get; set; } = "auto";

    /// <summary>
    /// Sandboxes made ahead of demand for each tenant, runtime and network in use. Range 0 to 256 (0 makes none ahead); default 4, which covers a burst while others are made.
    /// Demand makes it more, a tenth of a second's up to 32; after five minutes without any none is kept.
    /// </summary>
    public int ReadySandboxes { get; set; } = 4;

    /// <summary>
    /// Start sandboxes by forking a booted interpreter. Default true. When false every sandbox starts an interpreter of its own, which takes tens of milliseconds and of megabytes more,
    /// and snapshots are refused.
    /// </summary>
    public bool Zygotes { get; set; } = true;

    /// <summary>
    /// Milliseconds after which a zygote is replaced, so that sandboxes do not share one address-space layout for ever. Range 1000 to 86400000; default 600000 (ten minutes).
    /// </summary>
    public int ZygoteLifetimeMs { get; set; } = 600_000;

    /// <summary>Given to the launcher after its other options. Internal, so no configuration can set it: the tests' variant of the launcher has options of its own.</summary>
    internal IReadOnlyList<string> ExtraLauncherArguments { get; set; } = [];

    /// <summary>The library that zygotes are preloaded with, as seen in a sandbox. Internal as above: the security tests' variant leaves walls out.</summary>
    internal string ZygoteLibrary { get; set; } = "/var/runtime/native/libflint-zygote.so";

    /// <summary>All problems of these settings; empty when there are none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var problems = new List<string>();
        Require(problems, UidBase is >= 65536 and <= 4_294_900_000, nameof(UidBase), UidBase, "65536 to 4294900000");
        Require(problems, UidCount is >= 16 and <= 1_000_000, nameof(UidCount), UidCount, "16 to 1000000");
        Require(problems, ReadySandboxes is >= 0 and <= 256, nameof(ReadySandboxes), ReadySandboxes, "0 to 256");
        Require(problems, ZygoteLifetimeMs is >= 1000 and <= 86_400_000, nameof(ZygoteLifetimeMs), ZygoteLifetimeMs, "1000 to 86400000");
        foreach (var path in (string[])[LauncherPath, GuestPath, RootPath, .. Interpreters.Values])
        {
            Require(problems, path.Length == 0 || Path.IsPathFullyQualified(path), "a path", path, "an absolute path");
        }

        return problems;
    }

    private static void Require(List<string> problems, bool met, string name, object value, string range)
    {
        if (!met)
        {
            problems.Add($"Flint:Sandbox:Native:{name} is {value}; it must be {range}.");
        }
    }
}
