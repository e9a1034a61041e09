using System.Text;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>
/// Group 8, whole: every system call number in every mode, four patterns of arguments each, against the lists in <c>profiles/</c>, so that a change of the
/// filter is a change of a file. What is listed answers something else than a plain refusal; the rest is EPERM, or ENOSYS from the first number that is newer than the list.
/// </summary>
public sealed class SweepTests(Workers workers)
{
    private const int Numbers = 1024;

    public static IEnumerable<TheoryDataRow<Mode>> Rows => Modes.Built.Select(static mode => new TheoryDataRow<Mode>(mode));

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task Every_number_answers_as_its_profile_says(Mode mode)
    {
        Requirements.Require(System.Runtime.InteropServices.RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.X64,
            "the lists are of x86-64 numbers");
        var bench = await workers.ProductAsync();
        var function = bench.Function("sweep.every", Languages.Python).In(mode) with { TimeoutMs = 120_000 };

        var outcome = await bench.Worker.InvokeAsync(function, $$"""{"first":0,"last":{{Numbers}},"x32":true}""");

        outcome.ShouldHaveRunIn(mode);
        outcome.ShouldHaveCompleted();
        outcome.Json().GetProperty("x32").GetRawText().ShouldBe("{}", "no x32 number gets anything but ENOSYS");
        var verdicts = outcome.Json().GetProperty("verdicts").EnumerateObject()
            .ToDictionary(static member => int.Parse(member.Name, System.Globalization.CultureInfo.InvariantCulture), static member => member.Value.GetString()!);
        verdicts.Count.ShouldBe(Numbers);
        await CompareAsync(mode, verdicts);
        await bench.NothingIsLeftAsync(function);
    }

    [Fact]
    public async Task A_fork_of_a_snapshot_may_call_less_and_a_fork_of_a_zygote_the_same()
    {
        var exec = await ListedAsync(Mode.Exec);
        foreach (var mode in Modes.Built)
        {
            var listed = await ListedAsync(mode);
            listed.Except(exec).ShouldBeEmpty();
            (listed.Count == exec.Count || mode == Mode.Snapshot).ShouldBeTrue($"{mode}");
        }
    }

    private static async Task CompareAsync(Mode mode, Dictionary<int, string> verdicts)
    {
        var path = PathOf(mode);
        var recorded = File.Exists(path) ? await File.ReadAllLinesAsync(path) : [];
        var kernel = $"# Linux {Environment.OSVersion.Version.ToString(2)}";
        if (recorded is [var first, ..] && first != kernel && !Updating)
        {
            // Another kernel lacks, or has, calls that the filter lets through.
            kernel = first;
            foreach (var number in recorded.Where(static line => line.EndsWith("\tanswers", StringComparison.Ordinal)).Select(static line => Number(line)))
            {
                verdicts[number] = verdicts[number] == "absent" ? "answers" : verdicts[number];
            }
        }

        var text = new StringBuilder($"{kernel}\n# {mode}: every system call number below {Numbers} (x86-64) whose answer is no plain refusal.\n");
        foreach (var (number, verdict) in verdicts.OrderBy(static pair => pair.Key).Where(static pair => pair.Value is "answers" or "killed"))
        {
            text.Append($"{number}\t{verdict}\n");
        }

        text.Append($"# refused with EPERM: {Ranges(verdicts, "refused")}\n# absent (ENOSYS): {Ranges(verdicts, "absent")}\n");
        if (Updating)
        {
            await File.WriteAllTextAsync(path, text.ToString());
            return;
        }

        text.ToString().ShouldBe(await File.ReadAllTextAsync(path), $"{path}: when the change of the filter is meant, run this test once with FLINT_UPDATE_DOCS=1 and read the difference");
    }

    private static async Task<IReadOnlyList<string>> ListedAsync(Mode mode) =>
        [.. (await File.ReadAllLinesAsync(PathOf(mode))).Where(static line => line[0] != '#')];

    private static bool Updating => Environment.GetEnvironmentVariable("FLINT_UPDATE_DOCS") is { Length: > 0 };

    private static int Number(string line) => int.Parse(line.AsSpan(0, line.IndexOf('\t', StringComparison.Ordinal)), System.Globalization.CultureInfo.InvariantCulture);

    private static string PathOf(Mode mode) => Requirements.InTree($"tests/Flint.Security.Tests/profiles/{mode.ToString().ToLowerInvariant()}.txt");

    private static string Ranges(Dictionary<int, string> verdicts, string wanted)
    {
        var ranges = new List<string>();
        var numbers = verdicts.Where(pair => pair.Value == wanted).Select(static pair => pair.Key).Order().ToList();
        for (var i = 0; i < numbers.Count;)
        {
            var last = i;
            while (last + 1 < numbers.Count && numbers[last + 1] == numbers[last] + 1)
            {
                last++;
            }

            ranges.Add(last == i ? $"{numbers[i]}" : $"{numbers[i]}-{numbers[last]}");
            i = last + 1;
        }

        return string.Join(' ', ranges);
    }
}
