using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Flint.Bench.Machine;

namespace Flint.Bench.Reporting;

/// <summary>Collects the rows, decides each verdict, and writes the result files.</summary>
internal sealed class Report(BenchOptions options, MachineFacts facts)
{
    /// <summary>A machine with more load than this before the run was not free to be measured.</summary>
    public const double MaxLoadBefore = 1.0;

    private const int MaxRemark = 800;

    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    private readonly List<Row> _rows = [];
    private readonly List<(Row Row, Row Peer)> _comparisons = [];

    public IReadOnlyList<Row> Rows => _rows;

    public bool HasFailures => _rows.Any(row => row.Verdict == Verdict.Failed);

    /// <summary>Runs one measurement and keeps its row; what goes wrong in it is the row's, not the run's.</summary>
    public async Task MeasureAsync(string group, string subject, Bar? bar, Func<Task<Figures>> measure)
    {
        await Console.Error.WriteLineAsync($"bench: {group}: {subject}");
        Disturbance disturbance = new(options.OwnRoot);
        try
        {
            Figures figures = await measure();
            Add(group, subject, bar, figures, disturbance.Reason());
        }
        catch (Exception exception) when (exception is BenchException or IOException or HttpRequestException or System.Net.Sockets.SocketException)
        {
            _rows.Add(new Row { Group = group, Subject = subject, Bar = bar, Verdict = Verdict.Failed, Remark = Cut(exception.Message) });
        }
    }

    private static string Cut(string text) => text.Length <= MaxRemark ? text : text[..MaxRemark] + " ...";

    public void NotAvailable(string group, string subject, string reason) =>
        _rows.Add(new Row { Group = group, Subject = subject, Verdict = Verdict.NotAvailable, Remark = reason });

    /// <summary>Sets two rows of a group side by side in the report, if both have figures.</summary>
    public void Compare(string group, string subject, params string[] peers)
    {
        foreach (string peer in peers)
        {
            if (Find(group, subject) is Row row && Find(group, peer) is Row other)
            {
                _comparisons.Add((row, other));
            }
        }
    }

    private Row? Find(string group, string subject) =>
        _rows.Find(row => row.Group == group && row.Subject == subject && row.Figures.Count > 0);

    private void Add(string group, string subject, Bar? bar, Figures figures, string? disturbed)
    {
        Verdict verdict = disturbed is not null || Invalid is not null ? Verdict.NotMeasured
            : bar is null ? Verdict.Measured
            : bar.IsMetBy(figures) ? Verdict.Met : Verdict.Missed;
        _rows.Add(new Row { Group = group, Subject = subject, Bar = bar, Figures = figures, Verdict = verdict, Remark = disturbed });
    }

    /// <summary>Why no row of this run can count, or null.</summary>
    private string? Invalid => options.Short ? "a short run only shows that everything works"
        : facts.LoadBefore > MaxLoadBefore ? $"the load before the run was above {MaxLoadBefore.ToString(CultureInfo.InvariantCulture)}"
        : null;

    public string Render() =>
        $"{Table.Describe(facts)}\n{(Invalid is null ? "" : $"\nNot measured: {Invalid}.\n")}\n{Table.Render(_rows)}{Table.RenderRatios(_comparisons)}";

    /// <summary>Writes DATE.md and DATE.json and removes older results, which the history of the repository keeps.</summary>
    public async Task WriteAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(options.Results);
        foreach (string old in Directory.EnumerateFiles(options.Results))
        {
            File.Delete(old);
        }
        string name = Path.Combine(options.Results, facts.Date.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture));
        await File.WriteAllTextAsync(name + ".md", $"# Results\n\n{Render()}", cancellationToken);
        string json = JsonSerializer.Serialize(new { facts, rows = _rows }, Json);
        await File.WriteAllTextAsync(name + ".json", json + "\n", cancellationToken);
    }
}
