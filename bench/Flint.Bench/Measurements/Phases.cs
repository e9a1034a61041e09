using System.Globalization;
using System.Text.Json;
using Flint.Bench.Load;

namespace Flint.Bench.Measurements;

/// <summary>Where invocations' time went, from answers with ?timings=true; what the server does not account for is HTTP and the record.</summary>
internal sealed class Phases
{
    private static readonly (string Member, string Name)[] Known =
    [
        ("queueMs", "queue"), ("createMs", "create"), ("bootMs", "boot"), ("initMs", "init"), ("prepareMs", "thaw"), ("runMs", "run"),
        ("aheadMakeMs", "make"), ("aheadForkMs", "fork"), ("aheadEnterMs", "enter"),
    ];

    /// <summary>What comes from here on in <see cref="Known"/> was done before the invocation came.</summary>
    private const int Ahead = 6;


    private readonly Latencies[] _phases = [.. Known.Select(_ => new Latencies())];
    private readonly Latencies _reply = new();
    private int _cold;
    private int _warm;

    public void Add(ReadOnlySpan<byte> record, double milliseconds)
    {
        Utf8JsonReader reader = new(record);
        double accounted = 0;
        while (reader.Read())
        {
            if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 1 && reader.ValueTextEquals("start"u8))
            {
                reader.Read();
                _cold += reader.ValueTextEquals("cold"u8) ? 1 : 0;
                _warm += reader.ValueTextEquals("warm"u8) ? 1 : 0;
            }
            else if (reader.TokenType == JsonTokenType.PropertyName && reader.CurrentDepth == 2
                && Array.FindIndex(Known, MatchOf(reader.GetString())) is >= 0 and int phase)
            {
                reader.Read();
                _phases[phase].AddMilliseconds(reader.GetDouble());
                accounted += phase < Ahead ? reader.GetDouble() : 0;
            }
        }
        _reply.AddMilliseconds(Math.Max(0, milliseconds - accounted));
    }

    public void ThrowUnlessAllCold()
    {
        if (_warm > 0 || _cold == 0)
        {
            throw new BenchException($"{_warm} invocations of a fresh function were warm, {_cold} cold");
        }
    }

    public void ThrowUnlessAllWarm()
    {
        if (_cold > 0 || _warm == 0)
        {
            throw new BenchException($"{_cold} invocations were cold, {_warm} warm; the sandbox was not kept");
        }
    }

    /// <summary>The median of each phase that happened.</summary>
    public string Describe()
    {
        var ahead = Medians(Ahead, Known.Length);
        var phases = string.Create(CultureInfo.InvariantCulture, $"phases p50 ms: {Medians(0, Ahead)}, HTTP and record {_reply.Percentile(0.5):0.000}");
        return ahead.Length > 0 ? $"{phases} (done ahead: {ahead})" : phases;
    }

    private string Medians(int from, int to) => string.Join(", ", Enumerable.Range(from, to - from)
        .Where(phase => _phases[phase].Percentile(0.99) > 0)
        .Select(phase => string.Create(CultureInfo.InvariantCulture, $"{Known[phase].Name} {_phases[phase].Percentile(0.5):0.000}")));

    private static Predicate<(string Member, string Name)> MatchOf(string? name) => known => known.Member == name;
}
