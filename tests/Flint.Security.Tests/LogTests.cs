using Flint.Runtime.Guest;
using Flint.Security.Tests.Attacks;
using Flint.Security.Tests.Harness;

namespace Flint.Security.Tests;

/// <summary>Group 17: output that is to pass for something else. Whatever a function writes is its own lines, on its own streams, at the server's time.</summary>
public sealed class LogTests(Workers workers)
{
    private const string OtherId = "00000000-0000-7000-8000-000000000000";

    public static IEnumerable<TheoryDataRow<Languages, Mode>> Rows => Modes.Rows();

    public static IEnumerable<TheoryDataRow<Languages, Mode, string>> Ways =>
        from row in Modes.Rows()
        from way in (string[])["print", "logging", "raw", "raw stderr"]
        select new TheoryDataRow<Languages, Mode, string>(row.Data.Item1, row.Data.Item2, way);

    [Theory]
    [MemberData(nameof(Ways))]
    public async Task Forged_lines_stay_the_functions_own(Languages language, Mode mode, string way)
    {
        var bench = await workers.ProductAsync();
        var function = bench.Function("log_injection.write", language).In(mode);
        var began = TimeProvider.System.GetUtcNow();

        var (id, outcome) = await bench.Worker.InvokeWithIdAsync(function, $$"""{"way":"{{way}}"}""");

        outcome.ShouldHaveCompleted();
        var ended = TimeProvider.System.GetUtcNow();
        var written = outcome.Log.Lines.Where(static line => line.Stream != LogStream.Platform).ToList();
        written.ShouldContain(static line => line.Text.Contains("forged", StringComparison.Ordinal), "the control: it was written");
        var platform = outcome.Log.Lines.Where(static line => line.Stream == LogStream.Platform).ToList();
        platform.Select(static line => line.Text.Split(' ')[0]).ShouldBe(["START", "END", "REPORT"], outcome.Describe());
        platform.ShouldAllBe(line => line.Text.Contains(id) && !line.Text.Contains(OtherId));
        outcome.Log.Lines.ShouldAllBe(line => line.Time >= began.AddSeconds(-1) && line.Time <= ended.AddSeconds(1));
        // A carriage return marks a break inside one event; it never begins a line of its own.
        string.Concat(written.Select(static line => line.Text)).Where(static c => char.IsControl(c) && c is not ('\t' or '\r')).ShouldBeEmpty(outcome.Describe());
        string.Concat(written.Select(static line => line.Text)).Any(char.IsSurrogate).ShouldBeFalse("half surrogates are replaced");
        bench.Worker.Retire(function);
    }

    [Theory]
    [InlineData(Languages.Python, "raw")]
    [InlineData(Languages.Python, "print")]
    [InlineData(Languages.Node, "raw")]
    [InlineData(Languages.Node, "print")]
    public async Task A_line_without_end_is_cut_and_counted(Languages language, string way)
    {
        // The way of the bytes from there on is the worker's, whatever made the process. A gigabyte takes a while.
        var mb = Environment.GetEnvironmentVariable("FLINT_TEST_LONG") is { Length: > 0 } ? 1024 : 96;
        var bench = await workers.ProductAsync();
        var function = bench.Function("log_injection.long_line", language) with { TimeoutMs = 120_000 };
        await using var memory = new MemoryWatch();

        var outcome = await bench.Worker.InvokeAsync(function, $$"""{"way":"{{way}}","mb":{{mb}}}""");

        outcome.ShouldHaveCompleted();
        outcome.Log.Lines.ShouldAllBe(static line => line.Text.Length <= 64 << 10);
        outcome.Log.Lines.Sum(static line => (long)line.Text.Length).ShouldBeLessThan(2 << 20);
        outcome.Log.DroppedBytes.ShouldBeGreaterThan(0);
        await memory.ShouldHaveStayedFlatAsync();
        await bench.NothingIsLeftAsync(function);
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public async Task What_a_flood_loses_is_counted(Languages language, Mode mode)
    {
        const int Lines = 100_000;
        var bench = await workers.ProductAsync();
        var function = bench.Function("log_injection.many_lines", language).In(mode) with { TimeoutMs = 60_000 };

        var outcome = await bench.Worker.InvokeAsync(function, $$"""{"lines":{{Lines}}}""");

        outcome.ShouldHaveCompleted();
        var kept = outcome.Log.Lines.Count(static line => line.Stream != LogStream.Platform);
        (kept + outcome.Log.DroppedLines).ShouldBe(Lines, "every line is kept or counted");
        outcome.Log.DroppedLines.ShouldBeGreaterThan(0);
        outcome.Log.Lines.ShouldContain(static line => line.Stream == LogStream.Platform && line.Text.Contains("dropped", StringComparison.Ordinal), outcome.Describe());
        await bench.NothingIsLeftAsync(function);
    }
}
