using System.Globalization;

namespace Flint.Bench;

/// <summary>What to measure and with what; bench/run fills it in.</summary>
internal sealed record BenchOptions
{
    /// <summary>The repository.</summary>
    public required string Root { get; init; }
    /// <summary>The dotnet host that runs the server and the peers.</summary>
    public required string Dotnet { get; init; }
    /// <summary>Flint.Server.dll.</summary>
    public required string Server { get; init; }
    /// <summary>Flint.Bench.Peers.dll.</summary>
    public required string Peers { get; init; }
    public required string Python { get; init; }
    public required string Node { get; init; }
    /// <summary>For data and logs of this run; removed by bench/run.</summary>
    public required string Scratch { get; init; }
    /// <summary>Where the result files go.</summary>
    public required string Results { get; init; }
    /// <summary>The process whose tree is this run's.</summary>
    public required int OwnRoot { get; init; }
    /// <summary>The daemon's address, or null with the reason in <see cref="DockerMissing"/>.</summary>
    public string? DockerHost { get; init; }
    public string DockerMissing { get; init; } = "not asked for";
    public string DockerImage { get; init; } = "flint-bench";
    /// <summary>The workerd program, or null with the reason in <see cref="WorkerdMissing"/>.</summary>
    public string? Workerd { get; init; }
    public string WorkerdMissing { get; init; } = "not asked for";
    /// <summary>Only to see that everything works: few requests, no result that means anything.</summary>
    public bool Short { get; init; }
    /// <summary>Length of a throughput measurement of warm functions.</summary>
    public TimeSpan WarmDuration { get; init; } = TimeSpan.FromSeconds(15);
    /// <summary>Length of a throughput measurement of fresh sandboxes: beyond any pool's size, refill and teardown inside it.</summary>
    public TimeSpan FreshDuration { get; init; } = TimeSpan.FromSeconds(60);
    /// <summary>Idle sandboxes at once in the memory group, ten of each function.</summary>
    public int MemoryCount { get; init; } = 1000;
    /// <summary>Cold starts at once in the burst group.</summary>
    public int BurstCount { get; init; } = 200;
    public IReadOnlySet<string> Groups { get; init; } = AllGroups;

    public static IReadOnlySet<string> AllGroups { get; } = new HashSet<string> { "server", "memory", "fresh", "snapshot", "burst", "warm" };

    public static BenchOptions Parse(string[] arguments)
    {
        Dictionary<string, string> values = [];
        foreach (string argument in arguments)
        {
            int equals = argument.IndexOf('=', StringComparison.Ordinal);
            if (!argument.StartsWith("--", StringComparison.Ordinal) || equals < 0)
            {
                throw new BenchException($"unknown argument '{argument}'; bench/run gives --name=value");
            }
            values[argument[2..equals]] = argument[(equals + 1)..];
        }
        string Need(string name) => values.TryGetValue(name, out string? value) ? value : throw new BenchException($"--{name}= is missing");
        bool brief = values.ContainsKey("short");
        TimeSpan Seconds(string name, double normal) => TimeSpan.FromSeconds(
            values.TryGetValue(name, out string? text) ? double.Parse(text, CultureInfo.InvariantCulture) : normal);
        int Number(string name, int normal) => values.TryGetValue(name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : normal;
        string? docker = values.GetValueOrDefault("docker-host");
        return new BenchOptions
        {
            Root = Need("root"),
            Dotnet = Need("dotnet"),
            Server = Need("server"),
            Peers = Need("peers"),
            Python = Need("python"),
            Node = Need("node"),
            Scratch = Need("scratch"),
            Results = Need("results"),
            OwnRoot = int.Parse(Need("own-root"), CultureInfo.InvariantCulture),
            DockerHost = string.IsNullOrEmpty(docker) ? null : docker,
            DockerMissing = values.GetValueOrDefault("docker-missing", "not asked for"),
            Workerd = values.GetValueOrDefault("workerd") is { Length: > 0 } workerd ? workerd : null,
            WorkerdMissing = values.GetValueOrDefault("workerd-missing", "not asked for"),
            Short = brief,
            MemoryCount = Number("memory-count", brief ? 20 : 1000),
            BurstCount = brief ? 20 : 200,
            WarmDuration = Seconds("warm-seconds", brief ? 0.5 : 15),
            FreshDuration = Seconds("fresh-seconds", brief ? 1 : 60),
            Groups = values.TryGetValue("only", out string? only) ? CheckedGroups(only) : AllGroups,
        };
    }

    private static HashSet<string> CheckedGroups(string only)
    {
        HashSet<string> groups = [.. only.Split(',', StringSplitOptions.RemoveEmptyEntries)];
        return groups.IsSubsetOf(AllGroups)
            ? groups
            : throw new BenchException($"--only {only}: there are only {string.Join(", ", AllGroups)}");
    }
}
