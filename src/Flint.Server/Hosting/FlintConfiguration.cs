using Flint.Data.Hosting;
using Flint.Engines.Native;
using Flint.Engines.Native.Egress;
using Flint.Runtime.Hosting;
using Flint.Server.Queue.Workers;

namespace Flint.Server.Hosting;

/// <summary>Everything that is configured, read and checked once, before anything starts. To add a part: its object in the constructor and in <see cref="Sections"/>.</summary>
internal sealed class FlintConfiguration
{
    private FlintConfiguration(string dataPath)
    {
        Flint = new FlintOptions { DataPath = dataPath };
        Database = new DatabaseOptions { DataPath = dataPath };
    }

    public FlintOptions Flint { get; }
    public DatabaseOptions Database { get; }
    public LimitOptions Limits { get; } = new();
    public SandboxOptions Sandbox { get; } = new();
    public NativeEngineOptions Native { get; } = new();
    public EgressOptions Egress { get; } = new();
    public WorkerOptions Worker { get; } = new();
    public ServerRoles Roles => ServerRoles.Of(Flint.Roles);

    /// <summary>Values that are never shown.</summary>
    public static IReadOnlySet<string> Secrets { get; } = new HashSet<string>(StringComparer.OrdinalIgnoreCase) { "Flint:Database:ConnectionString", "Flint:Database:ListenConnectionString" };

    /// <summary>The option objects by section; what <c>docs/configuration.md</c> lists, in this order.</summary>
    public IReadOnlyDictionary<string, object> Sections => new Dictionary<string, object>(StringComparer.Ordinal)
    {
        ["Flint"] = Flint,
        ["Flint:Database"] = Database,
        ["Flint:Functions"] = Flint.Functions,
        ["Flint:Limits"] = Limits,
        ["Flint:Sandbox"] = Sandbox,
        ["Flint:Sandbox:Native"] = Native,
        ["Flint:Sandbox:Egress"] = Egress,
        ["Flint:Http"] = Flint.Http,
        ["Flint:History"] = Flint.History,
        ["Flint:Packages"] = Flint.Packages,
        ["Flint:Jobs"] = Flint.Jobs,
        ["Flint:Queue"] = Flint.Queue,
        ["Flint:Worker"] = Worker,
        ["Flint:Schedules"] = Flint.Schedules,
        ["Flint:Webhooks"] = Flint.Webhooks,
    };

    public static FlintConfiguration Defaults { get; } = new(new FlintOptions().DataPath);

    /// <summary>Binds and checks. Throws <see cref="ConfigurationException"/> with all problems.</summary>
    public static FlintConfiguration Read(IConfiguration configuration)
    {
        var read = new FlintConfiguration(configuration["Flint:DataPath"] ?? new FlintOptions().DataPath);
        var binder = new OptionsBinder(read.Sections, Secrets);
        binder.Bind(configuration.GetSection("Flint"));
        var problems = binder.Problems.ToList();
        ListenAddresses.Check(configuration["urls"], problems);
        if (configuration.GetSection("Kestrel").GetChildren().Any())
        {
            problems.Add("Kestrel: this section could open further addresses; Flint takes them from --urls alone.");
        }

        problems.AddRange(ServerRoles.Problems(read.Flint.Roles, read.Database.UsesPostgres));
        problems.AddRange(read.Database.Validate().Concat(read.Limits.Validate()).Concat(read.Sandbox.Validate()).Concat(read.Native.Validate()).Concat(read.Egress.Validate())
            .Concat(read.Flint.Jobs.Validate()).Concat(read.Flint.Webhooks.Validate()));
        return problems.Count == 0 ? read : throw new ConfigurationException([.. problems.Distinct()]);
    }

    /// <summary>Every option with its value, secrets hidden: what the log shows at start.</summary>
    public IEnumerable<string> Describe() =>
        from section in Sections
        from property in OptionsBinder.Options(section.Value.GetType())
        let key = $"{section.Key}:{property.Name}"
        let value = property.GetValue(section.Value)
        select $"{key}={(Secrets.Contains(key) ? value is "" ? "" : "***" : Show(value))}";

    public static string Show(object? value) => value switch
    {
        null => "",
        string[] list => string.Join(',', list),
        IReadOnlyDictionary<string, string> map => string.Join(',', map.Select(pair => $"{pair.Key}={pair.Value}")),
        bool flag => flag ? "true" : "false",
        _ => Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture)!,
    };
}

/// <summary>The configuration is wrong; <see cref="Problems"/> has all that is.</summary>
internal sealed class ConfigurationException(IReadOnlyList<string> problems) : Exception(string.Join(Environment.NewLine, problems))
{
    public IReadOnlyList<string> Problems { get; } = problems;
}
