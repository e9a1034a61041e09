using System.Globalization;
using System.Text;
using Flint.Bench.Machine;

namespace Flint.Bench.Reporting;

/// <summary>Writes rows as a Markdown table that can be read on a terminal as it is.</summary>
internal static class Table
{
    private static readonly string[] Head = ["what", "n", "p50 ms", "p95 ms", "p99 ms", "per second", "value", "promised", "verdict"];

    public static string Render(IReadOnlyList<Row> rows)
    {
        List<string[]> lines = [Head];
        foreach (Row row in rows)
        {
            lines.Add(Cells(row));
        }
        int[] widths = [.. Enumerable.Range(0, Head.Length).Select(column => lines.Max(line => line[column].Length))];
        StringBuilder text = new();
        Append(text, lines[0], widths);
        Append(text, [.. widths.Select(width => new string('-', width))], widths);
        foreach (string[] line in lines.Skip(1))
        {
            Append(text, line, widths);
        }
        foreach (Row row in rows.Where(row => row.Remark is not null || row.Figures.Note is not null))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n- {row.Group}, {row.Subject}: {string.Join("; ", new[] { row.Remark, row.Figures.Note }.OfType<string>())}");
        }
        return text.Append('\n').ToString();
    }

    public static string Describe(MachineFacts facts) => string.Create(CultureInfo.InvariantCulture,
        $"{facts.Date:yyyy-MM-dd HH:mm} UTC, commit {facts.Commit}; {facts.Cores} cores, {facts.Processor}, Linux {facts.Kernel}, as {facts.User}; "
        + $"load before {facts.LoadBefore:0.00}; {string.Join(", ", facts.Versions.Select(version => $"{version.Key} {version.Value}"))}");

    private static string[] Cells(Row row) =>
    [
        $"{row.Group}: {row.Subject}",
        row.Figures.Count > 0 ? row.Figures.Count.ToString(CultureInfo.InvariantCulture) : "",
        Time(row.Figures.P50),
        Time(row.Figures.P95),
        Time(row.Figures.P99),
        row.Figures.PerSecond is double rate ? rate.ToString(rate < 100 ? "0.0" : "0", CultureInfo.InvariantCulture) : "",
        row.Figures.Value is double value ? string.Create(CultureInfo.InvariantCulture, $"{value:0.00} {row.Figures.Unit}") : "",
        Promise(row.Bar),
        Name(row.Verdict),
    ];

    private static string Time(double? milliseconds) =>
        milliseconds is double time ? time.ToString(time < 10 ? "0.000" : "0.0", CultureInfo.InvariantCulture) : "";

    private static string Promise(Bar? bar)
    {
        List<string> parts = [];
        if (bar?.MaxP50 is double p50)
        {
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"p50 <= {p50}"));
        }
        if (bar?.MaxP99 is double p99)
        {
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"p99 <= {p99}"));
        }
        if (bar?.MinPerSecond is double rate)
        {
            parts.Add(string.Create(CultureInfo.InvariantCulture, $">= {rate:0}/s"));
        }
        if (bar?.MaxValue is double value)
        {
            parts.Add(string.Create(CultureInfo.InvariantCulture, $"<= {value} {bar.Unit}"));
        }
        return string.Join(", ", parts);
    }

    private static string Name(Verdict verdict) => verdict switch
    {
        Verdict.Measured => "",
        Verdict.Met => "met",
        Verdict.Missed => "missed",
        Verdict.NotMeasured => "not measured",
        Verdict.NotAvailable => "not available",
        _ => "FAILED",
    };

    private static void Append(StringBuilder text, string[] cells, int[] widths)
    {
        text.Append('|');
        for (int column = 0; column < cells.Length; column++)
        {
            text.Append(' ').Append(column == 0 ? cells[column].PadRight(widths[column]) : cells[column].PadLeft(widths[column])).Append(" |");
        }
        text.Append('\n');
    }
}
