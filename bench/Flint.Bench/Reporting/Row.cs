using Flint.Bench.Load;

namespace Flint.Bench.Reporting;

/// <summary>One line of the table. Times in milliseconds; what was not measured is null.</summary>
internal sealed record Row
{
    public required string Group { get; init; }
    public required string Subject { get; init; }
    public Figures Figures { get; init; } = new();
    public Bar? Bar { get; init; }
    public required Verdict Verdict { get; init; }
    /// <summary>Why there is no verdict, or what else is worth knowing.</summary>
    public string? Remark { get; init; }
}

internal enum Verdict
{
    /// <summary>Measured, and nothing was promised for it: a peer.</summary>
    Measured,
    Met,
    Missed,
    /// <summary>The machine was too busy; the figures say nothing.</summary>
    NotMeasured,
    /// <summary>This machine does not have what it takes.</summary>
    NotAvailable,
    /// <summary>It did not work, or gave a wrong answer.</summary>
    Failed,
}

/// <summary>What a measurement brought.</summary>
internal sealed record Figures
{
    public int Count { get; init; }
    public double? P50 { get; init; }
    public double? P95 { get; init; }
    public double? P99 { get; init; }
    public double? Max { get; init; }
    public double? PerSecond { get; init; }
    /// <summary>A single number, for what has no latency.</summary>
    public double? Value { get; init; }
    /// <summary>The unit of <see cref="Value"/>: s or MB.</summary>
    public string? Unit { get; init; }
    public string? Note { get; init; }

    public static Figures Of(LoadResult one, string? note) => new()
    {
        Count = one.Latencies.Count,
        P50 = one.Latencies.Percentile(0.50),
        P95 = one.Latencies.Percentile(0.95),
        P99 = one.Latencies.Percentile(0.99),
        Max = one.Latencies.Percentile(1),
        PerSecond = one.PerSecond,
        Note = note,
    };

    /// <param name="single">One at a time: the latencies.</param>
    /// <param name="loaded">Several at a time: the throughput.</param>
    public static Figures Of(LoadResult single, LoadResult loaded, string? note = null) => new()
    {
        Count = single.Latencies.Count + loaded.Latencies.Count,
        P50 = single.Latencies.Percentile(0.50),
        P95 = single.Latencies.Percentile(0.95),
        P99 = single.Latencies.Percentile(0.99),
        Max = single.Latencies.Percentile(1),
        PerSecond = loaded.PerSecond,
        Note = note,
    };
}

/// <summary>What Flint promises: SPECIFICATION.md has the same numbers.</summary>
internal sealed record Bar
{
    public double? MaxP50 { get; init; }
    public double? MaxP99 { get; init; }
    public double? MinPerSecond { get; init; }
    public double? MaxValue { get; init; }
    public string? Unit { get; init; }

    public static Bar Fresh { get; } = new() { MaxP50 = 4, MaxP99 = 15, MinPerSecond = 350 };
    public static Bar Warm { get; } = new() { MaxP50 = 0.2, MinPerSecond = 12_000 };
    public static Bar Ready { get; } = new() { MaxValue = 1.5, Unit = "s" };
    public static Bar IdleServer { get; } = new() { MaxValue = 150, Unit = "MB" };
    public static Bar IdlePython { get; } = new() { MaxValue = 3, Unit = "MB" };
    public static Bar IdleNode { get; } = new() { MaxValue = 5, Unit = "MB" };

    public bool IsMetBy(Figures figures) =>
        !(figures.P50 > MaxP50) && !(figures.P99 > MaxP99) && !(figures.PerSecond < MinPerSecond) && !(figures.Value > MaxValue);
}
