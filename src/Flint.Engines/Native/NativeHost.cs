using Flint.Engines.Native.Egress;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>Judges what the launcher found on the host: what blocks, what is merely missing, and what to tell the operator.</summary>
internal static class NativeHost
{
    private const string Knob = "Flint:Sandbox:AllowUnenforced";

    /// <summary>Why functions are refused on this host, or null. Memory and pids must be enforced unless the operator allowed otherwise.</summary>
    public static string? Refusal(LauncherHello hello, IReadOnlyList<string> allowed)
    {
        var reasons = Unenforced(hello)
            .Where(limit => limit != "cpu" && !allowed.Contains(limit, StringComparer.OrdinalIgnoreCase))
            .Select(limit => $"{limit} cannot be enforced ({Explain(hello, limit)})")
            .ToList();
        if (!hello.Seccomp)
        {
            reasons.Add("the kernel has no seccomp filters");
        }

        return reasons.Count == 0
            ? null
            : $"Sandboxes are refused on this host: {string.Join("; ", reasons)}. What may go unenforced can be listed in {Knob}.";
    }

    public static string? RefusalOf(GuestRuntimes runtimes) =>
        runtimes.Names.Count > 0
            ? null
            : "No interpreter was found in /usr/bin or /usr/local/bin: install python3 (Debian package python3) or Node.js 20 or newer, or name one in Flint:Sandbox:Native:Interpreters.";

    // Said by a probe, which tries one; a running launcher has made some.
    private static string? RefusalOfCells(LauncherHello hello) =>
        hello.Missing.Any(static finding => finding.What == "cells") ? $"No sandbox can be made: {Explain(hello, "cells")}" : null;

    /// <summary>The limits that this host does not enforce.</summary>
    public static IReadOnlyList<string> Unenforced(LauncherHello hello)
    {
        var limits = new List<string>();
        if (!hello.Memory)
        {
            limits.Add("memory");
        }

        if (!hello.Pids)
        {
            limits.Add("pids");
        }

        if (!hello.Cpu)
        {
            limits.Add("cpu");
        }

        return limits;
    }

    public static EngineCapabilities Capabilities(LauncherHello hello, GuestRuntimes runtimes, NativeEngineSettings settings) =>
        new(runtimes.Names, hello.Freezer != "none", hello.Descriptors.Contains("memoryPeak"), Unenforced(hello))
        {
            NoSnapshot = NoSnapshots(hello, settings.Options),
            NoEgress = NoEgress(hello, settings.Egress),
            NoCpuQuota = NoCpuQuota(hello, settings.AllowUnenforced),
        };

    /// <summary>Why no runtime can have a zygote here, or null.</summary>
    public static string? NoZygotes(LauncherHello hello, NativeEngineOptions options) =>
        !options.Zygotes ? "zygotes are switched off (Flint:Sandbox:Native:Zygotes)"
        : !hello.Zygotes ? $"this host has no zygotes ({Explain(hello, "zygotes")})"
        : !NativeFiles.Find(options).HasLibrary(options.ZygoteLibrary) ? $"{options.ZygoteLibrary} is not in the guests' folder"
        : null;

    /// <summary>Why no snapshot can be taken here, or null.</summary>
    public static string? NoSnapshots(LauncherHello hello, NativeEngineOptions options) =>
        NoZygotes(hello, options) ?? (hello.Snapshots ? null : $"this host has no snapshots ({Explain(hello, "snapshots")})");

    /// <summary>Why no sandbox can have a way out here, or null.</summary>
    public static string? NoEgress(LauncherHello hello, EgressOptions options) =>
        !options.Enabled ? "it is switched off (Flint:Sandbox:Egress:Enabled)"
        : !hello.Egress ? $"this host has no egress ({Explain(hello, "egress")})"
        : null;

    /// <summary>Why no sandbox can have a CPU quota here, or null. A share by memory is a wish that a host may lack; a quota was asked for.</summary>
    public static string? NoCpuQuota(LauncherHello hello, IReadOnlyList<string> allowed) =>
        hello.Cpu || allowed.Contains("cpu", StringComparer.OrdinalIgnoreCase)
            ? null
            : $"this host cannot enforce it ({Explain(hello, "cpu")}); {Knob} can list cpu";

    /// <summary>What is wrong with the zygotes at this moment.</summary>
    public static IEnumerable<EngineFinding> Findings(IEnumerable<ZygoteKeeper> zygotes) =>
        from keeper in zygotes
        let trouble = keeper.FirstBoot.IsCompleted ? keeper.Trouble : null
        where trouble is not null
        select new EngineFinding(
            $"zygote {keeper.Runtime}",
            trouble,
            "Its sandboxes start an interpreter of their own meanwhile, and it is tried again; the log has the launcher's and the interpreter's words. Flint:Sandbox:Native:Zygotes=false ends the attempts.",
            Blocking: false);

    /// <summary>Switched off is no finding: the operator knows. What the launcher names itself is not said twice.</summary>
    private static IEnumerable<EngineFinding> FindingsWithoutZygotes(LauncherHello hello, NativeEngineOptions options) =>
        options.Zygotes && hello.WhyNot("zygotes") is null && NoZygotes(hello, options) is { } why
            ? [new EngineFinding("zygotes", why, "Every sandbox starts an interpreter of its own meanwhile. Run ./run, which builds what is missing.", Blocking: false)]
            : [];

    public static EngineReport Report(
        string engine, LauncherHello hello, GuestRuntimes runtimes, IEnumerable<ZygoteKeeper> zygotes, NativeEngineSettings settings)
    {
        var allowed = settings.AllowUnenforced;
        var refusal = RefusalOfCells(hello) ?? Refusal(hello, allowed) ?? RefusalOf(runtimes);
        var findings = hello.Missing
            .Select(finding => new EngineFinding(finding.What, finding.Why, finding.Fix, Blocks(finding.What, allowed)))
            .Concat(FindingsWithoutZygotes(hello, settings.Options))
            .Concat(Findings(zygotes))
            .ToList();
        return new EngineReport(
            engine,
            refusal is null,
            refusal ?? $"identity {hello.Mode}, cgroups {hello.Cgroup}, freezer {hello.Freezer}, egress {(hello.Egress ? "yes" : "no")}, Linux {hello.Kernel}",
            runtimes.Names,
            findings);
    }

    private static bool Blocks(string what, IReadOnlyList<string> allowed) =>
        what is "cells" or "memory" or "pids" or "seccomp" && !allowed.Contains(what, StringComparer.OrdinalIgnoreCase);

    private static string Explain(LauncherHello hello, string limit)
    {
        var finding = hello.Missing.FirstOrDefault(candidate => candidate.What == limit);
        return finding is null ? "the host does not say why" : $"{finding.Why}; {finding.Fix}";
    }
}
