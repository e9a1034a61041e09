using System.Globalization;
using System.Text;
using Flint.Bench.Machine;

namespace Flint.Bench.Reporting;

/// <summary>Writes rows as a Markdown table that can be read on a terminal as it is.</summary>
internal static class Table
{
    private static readonly string[] Head = ["what", "n", "p50 ms", "p95 ms", "p99 ms", "max ms", "per second", "value", "promised", "verdict"];

    public static string Render(IReadOnlyList<Row> rows)
    {
        StringBuilder text = new();
        AppendTable(text, [Head, .. rows.Select(Cells)]);
        foreach (Row row in rows.Where(row => row.Remark is not null || row.Figures.Note is not null))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n- {row.Group}, {row.Subject}: {string.Join("; ", new[] { row.Remark, row.Figures.Note }.OfType<string>())}");
        }
        return text.Append('\n').ToString();
    }

    /// <summary>Each as a multiple of its peer: of latencies less is better, of the rate more.</summary>
    public static string RenderRatios(IReadOnlyList<(Row Row, Row Peer)> comparisons)
    {
        if (comparisons.Count == 0)
        {
            return "";
        }
        StringBuilder text = new("\n");
        AppendTable(text,
        [
            ["side by side", "p50", "p95", "p99", "per second"],
            .. comparisons.Select(pair => new[]
            {
                $"{pair.Row.Group}: {pair.Row.Subject} / {pair.Peer.Subject}",
                Ratio(pair.Row.Figures.P50, pair.Peer.Figures.P50),
                Ratio(pair.Row.Figures.P95, pair.Peer.Figures.P95),
                Ratio(pair.Row.Figures.P99, pair.Peer.Figures.P99),
                Ratio(pair.Row.Figures.PerSecond, pair.Peer.Figures.PerSecond),
            }),
        ]);
        return text.ToString();
    }

    private static string Ratio(double? ours, double? theirs) =>
        ours / theirs is double ratio ? ratio.ToString(ratio < 10 ? "0.00" : "0", CultureInfo.InvariantCulture) : "";

    private static void AppendTable(StringBuilder text, IReadOnlyList<string[]> lines)
    {
        int[] widths = [.. Enumerable.Range(0, lines[0].Length).Select(column => lines.Max(line => line[column].Length))];
        Append(text, lines[0], widths);
        Append(text, [.. widths.Select(width => new string('-', width))], widths);
        foreach (string[] line in lines.Skip(1))
        {
            Append(text, line, widths);
        }
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
        Time(row.Figures.Max),
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
