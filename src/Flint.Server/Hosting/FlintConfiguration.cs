namespace Flint.Server.Hosting;

/// <summary>Everything that is configured, read and checked once, before anything starts.</summary>
internal sealed class FlintConfiguration
{
    public FlintOptions Flint { get; } = new();

    /// <summary>The option objects by section; what <c>docs/configuration.md</c> lists, in this order.</summary>
    public IReadOnlyDictionary<string, object> Sections => new Dictionary<string, object>(StringComparer.Ordinal)
    {
        ["Flint"] = Flint,
        ["Flint:Functions"] = Flint.Functions,
        ["Flint:Http"] = Flint.Http,
        ["Flint:History"] = Flint.History,
        ["Flint:Packages"] = Flint.Packages,
    };

    /// <summary>Values that are never shown.</summary>
    public static IReadOnlySet<string> Secrets { get; } = new HashSet<string>(StringComparer.OrdinalIgnoreCase) { "Flint:Database:ConnectionString" };

    /// <summary>Binds and checks. Throws <see cref="ConfigurationException"/> with all problems.</summary>
    public static FlintConfiguration Read(IConfiguration configuration)
    {
        var read = new FlintConfiguration();
        var binder = new OptionsBinder(read.Sections, Secrets);
        binder.Bind(configuration.GetSection("Flint"));
        var problems = binder.Problems.ToList();
        ListenAddresses.Parse(configuration["urls"], problems);
        if (problems.Count > 0)
        {
            throw new ConfigurationException(problems);
        }

        return read;
    }
}

/// <summary>The configuration is wrong; <see cref="Problems"/> has all that is.</summary>
internal sealed class ConfigurationException(IReadOnlyList<string> problems) : Exception(string.Join(Environment.NewLine, problems))
{
    public IReadOnlyList<string> Problems { get; } = problems;
}
