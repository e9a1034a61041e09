using System.Globalization;
using System.Text.Json;
using Flint.Bench.Load;

namespace Flint.Bench.Measurements;

/// <summary>Where an invocation's time went, from the records that came back.</summary>
internal sealed class Phases
{
    private readonly Latencies _init = new();
    private readonly Latencies _run = new();
    private int _warm;

    public void Add(ReadOnlySpan<byte> record)
    {
        Utf8JsonReader reader = new(record);
        while (reader.Read())
        {
            if (reader.TokenType != JsonTokenType.PropertyName || reader.CurrentDepth != 1)
            {
                continue;
            }
            if (reader.ValueTextEquals("initDurationMs"u8) && reader.Read())
            {
                _init.AddMilliseconds(reader.GetDouble());
            }
            else if (reader.ValueTextEquals("durationMs"u8) && reader.Read())
            {
                _run.AddMilliseconds(reader.GetDouble());
            }
            else if (reader.ValueTextEquals("start"u8) && reader.Read() && reader.ValueTextEquals("warm"u8))
            {
                _warm++;
            }
        }
    }

    public void ThrowUnlessAllCold()
    {
        if (_warm > 0)
        {
            throw new BenchException($"{_warm} invocations of a fresh function were warm");
        }
    }

    public void ThrowUnlessAllWarm()
    {
        if (_init.Count > 0)
        {
            throw new BenchException($"{_init.Count} invocations were cold; the sandbox was not kept");
        }
    }

    public string Describe()
    {
        string run = string.Create(CultureInfo.InvariantCulture, $"handler p50 {_run.Percentile(0.5):0.000} ms");
        return _init.Count == 0 ? run : string.Create(CultureInfo.InvariantCulture, $"sandbox and init p50 {_init.Percentile(0.5):0.0} ms, {run}");
    }
}
