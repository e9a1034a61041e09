using System.Text;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;
using Flint.Security.Tests.Uploads;

namespace Flint.Security.Tests;

/// <summary>The security model's table of what was attempted is the tests' own list.</summary>
public sealed class SecurityModelTests
{
    private const string Begin = "<!-- attempted -->\n";
    private const string End = "<!-- /attempted -->\n";

    private static readonly string[] Groups =
    [
        "", "processor and time", "memory", "processes", "disk", "descriptors and shared tables", "reads", "writes", "system calls", "privilege",
        "cgroups", "network", "protocol", "JSON and HTTP", "archives", "tenancy", "secrets", "logs", "requests of the platform", "races", "signals and time", "ways to end", "fairness", "snapshots",
    ];

    [Fact]
    public async Task The_table_lists_what_the_tests_attempt()
    {
        var path = Requirements.InTree("docs/security-model.md");
        var page = await File.ReadAllTextAsync(path);
        var from = page.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        var to = page.IndexOf(End, StringComparison.Ordinal);
        var table = Table();

        if (Environment.GetEnvironmentVariable("FLINT_UPDATE_DOCS") is { Length: > 0 })
        {
            await File.WriteAllTextAsync(path, page[..from] + table + page[to..]);
            return;
        }

        page[from..to].ShouldBe(table, "run this test once with FLINT_UPDATE_DOCS=1");
    }

    private static string Table()
    {
        var table = new StringBuilder("| group | program | in | while every wall stands | without which wall it succeeds |\n|---|---|---|---|---|\n");
        foreach (var attack in AttackCatalog.All.OrderBy(static attack => attack.Group))
        {
            table.Append($"| {attack.Group} {Groups[attack.Group]} | {attack.Name} | {Spoken(attack.In)} | {Outcome(attack)} | {Wall(attack)} |\n");
        }

        table.Append($"| 14 {Groups[14]} | {string.Join("; ", HostileArchives.All.Keys)} | | refused | ");
        table.Append($"shown without checks: {string.Join("; ", HostileArchives.Escaping.Keys)} |\n");
        return table.ToString();
    }

    private static string Spoken(Languages languages) => languages switch
    {
        Languages.Python => "Python",
        Languages.Node => "JavaScript",
        _ => "both",
    };

    private static string Outcome(Attack attack) => attack.Held switch
    {
        Held.Refused => "gets nothing",
        Held.Contained => "runs, inside only; nothing is left",
        _ => $"ends as {string.Join(" or ", attack.Faults)}",
    };

    private static string Wall(Attack attack) => attack switch
    {
        { Wall: { } wall } => string.Join(" and ", wall.Split(',')),
        { Loosen: not null } => attack.Group == 1 ? "the timeout" : "the memory setting",
        _ => $"none: {attack.Structural}",
    };
}
