using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests.Attacks;

/// <summary>Every hostile program of the three-step kind. docs/security-model.md lists the same, which a test checks.</summary>
internal static class AttackCatalog
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        .. TimeAttacks.All, .. MemoryAttacks.All, .. ProcessAttacks.All, .. DiskAttacks.All, .. IpcAttacks.All, .. ReadAttacks.All,
        .. KernelAttacks.All, .. NetworkAttacks.All, .. SignalAttacks.All, .. ProtocolAttacks.All, .. ExitAttacks.All, .. SnapshotAttacks.All,
    ];

    public static IEnumerable<TheoryDataRow<string, string, Mode>> Rows => RowsOf(static attack => attack.Modes);

    /// <summary>
    /// A fork of an initialised process takes no step of its own into the sandbox, so its walls are those of the process that it was forked from; and the clock that
    /// ends what takes too long is the worker's, whatever the mode.
    /// </summary>
    public static IEnumerable<TheoryDataRow<string, string, Mode>> RowsWithWall => RowsOf(static attack => attack switch
    {
        { HasWall: false } => [],
        { Group: 1, Wall: null } => [Mode.Exec],
        // A zygote has an empty network namespace, which its forks can only leave for their cell's: there is no way to the host's, wall or not.
        { Wall: "net" } => [Mode.Exec],
        { Group: 23 } => attack.Modes,
        _ => attack.Modes.Except([Mode.Snapshot]),
    });

    /// <summary>For work on some of them: <c>FLINT_TEST_GROUPS=19,20</c> leaves the other groups' rows out.</summary>
    private static class Groups
    {
        private static readonly string[] Wanted = (Environment.GetEnvironmentVariable("FLINT_TEST_GROUPS") ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries);

        public static bool IsMatch(int group) => Wanted.Length == 0 || Wanted.Contains($"{group}");
    }

    public static Attack Find(string name) => All.Single(attack => attack.Name == name);

    private static IEnumerable<TheoryDataRow<string, string, Mode>> RowsOf(Func<Attack, IEnumerable<Mode>> modes) =>
        from attack in All
        from mode in modes(attack)
        where Modes.Built.Contains(mode) && Groups.IsMatch(attack.Group)
        from language in (Languages[])[Languages.Python, Languages.Node]
        where attack.In.HasFlag(language)
        select new TheoryDataRow<string, string, Mode>(attack.Name, language.ToString(), mode);
}
