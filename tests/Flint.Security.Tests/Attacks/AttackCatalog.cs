namespace Flint.Security.Tests.Attacks;

/// <summary>Every hostile program of the three-step kind. docs/security-model.md lists the same, which a test checks.</summary>
internal static class AttackCatalog
{
    public static IReadOnlyList<Attack> All { get; } =
    [
        .. TimeAttacks.All, .. MemoryAttacks.All, .. ProcessAttacks.All, .. DiskAttacks.All, .. IpcAttacks.All, .. ReadAttacks.All,
        .. KernelAttacks.All, .. NetworkAttacks.All, .. ProtocolAttacks.All, .. ExitAttacks.All,
    ];

    public static IEnumerable<TheoryDataRow<string, string>> Rows => RowsOf(static _ => true);

    public static IEnumerable<TheoryDataRow<string, string>> RowsWithWall => RowsOf(static attack => attack.HasWall);

    public static Attack Find(string name) => All.Single(attack => attack.Name == name);

    private static IEnumerable<TheoryDataRow<string, string>> RowsOf(Func<Attack, bool> wanted) =>
        from attack in All
        where wanted(attack)
        from language in (Languages[])[Languages.Python, Languages.Node]
        where attack.In.HasFlag(language)
        select new TheoryDataRow<string, string>(attack.Name, language.ToString());
}
