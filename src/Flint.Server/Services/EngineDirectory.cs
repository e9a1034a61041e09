using System.Collections.Concurrent;
using Flint.Contracts.Host;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Services;

/// <summary>The engines of this server, which of them work here, and what runtimes they have. Thread-safe.</summary>
internal sealed class EngineDirectory(EngineRegistry engines)
{
    /// <summary>The engine that functions get when they name none, where it is there.</summary>
    private const string Preferred = "native";

    /// <summary>The names that stand for the newest runtime of a language.</summary>
    private static readonly (string Alias, string Prefix)[] Aliases = [("python", "python"), ("javascript", "nodejs")];

    private volatile Joined? _unenforced;

    /// <summary>By what was asked for; holds existing names only.</summary>
    private readonly ConcurrentDictionary<string, Chosen> _languages = new(StringComparer.Ordinal);

    private string Default => engines.Engines.FirstOrDefault(engine => engine.Name == Preferred)?.Name ?? engines.Engines.FirstOrDefault()?.Name ?? Preferred;

    public IReadOnlyList<EngineView> Views() =>
    [
        .. engines.Engines.Select(engine =>
            new EngineView(engine.Name, engine.Unavailable is null, engine.Unavailable, engine.Capabilities?.Runtimes ?? [], engine.Capabilities?.Unenforced ?? [],
                engine.Capabilities?.NoSnapshot, engine.Capabilities?.NoEgress)),
    ];

    public RuntimesView Runtimes()
    {
        var views = Views();
        var names = views.SelectMany(view => view.Runtimes).Distinct(StringComparer.Ordinal).Order(StringComparer.Ordinal).ToArray();
        var runtimes = names.Select(name => new RuntimeView(name,
            [.. Aliases.Where(alias => Newest(names, alias.Prefix) == name).Select(alias => alias.Alias)],
            [.. views.Where(view => view.Runtimes.Contains(name)).Select(view => view.Name)]));
        return new RuntimesView([.. runtimes], views);
    }

    /// <summary>Limits that this engine cannot enforce here, comma-separated; null when there are none.</summary>
    public string? Unenforced(string engine)
    {
        // As it is now, since a launcher may be restarted on a host that has changed; joined once for each state, since every record asks.
        if (engines.Capabilities(engine) is not { Unenforced.Count: > 0 } capabilities)
        {
            return null;
        }

        if (_unenforced is { } known && ReferenceEquals(known.Of, capabilities))
        {
            return known.Text;
        }

        var text = string.Join(',', capabilities.Unenforced);
        _unenforced = new Joined(capabilities, text);
        return text;
    }

    public string CheckEngine(string? name)
    {
        name ??= Default;
        return engines.Find(name) is not null
            ? name
            : throw new RefusedException("unknown_engine", $"There is no such engine here; there are: {List(engines.Engines.Select(e => e.Name))}.", field: "engine");
    }

    /// <summary>The concrete runtime that the name means on the engine.</summary>
    public string CheckRuntime(string? name, string engine)
    {
        if (name is null)
        {
            throw new RefusedException("missing_field", "A function needs a runtime; see GET /api/runtimes.", field: "runtime");
        }

        var view = Views().First(view => view.Name == engine);
        if (!view.Available)
        {
            throw new RefusedException("engine_unavailable", $"The engine {engine} does not work on this host: {view.Reason}", field: "engine");
        }

        var concrete = Aliases.FirstOrDefault(alias => alias.Alias == name) is { Prefix: { } prefix } ? Newest(view.Runtimes, prefix) : name;
        return concrete is not null && view.Runtimes.Contains(concrete)
            ? concrete
            : throw new RefusedException("unknown_runtime",
                $"The engine {engine} has no such runtime; it has: {List(view.Runtimes)}, and the aliases {List(Aliases.Where(a => Newest(view.Runtimes, a.Prefix) is not null).Select(a => a.Alias))}.",
                field: "runtime");
    }

    /// <summary>The engine that a job runs on, and its concrete runtime for a language (or a runtime's name). Remembered for as long as the engine's abilities stay as they are: every job asks.</summary>
    public (string Engine, string Runtime) CheckLanguage(string language)
    {
        if (_languages.TryGetValue(language, out var known) && ReferenceEquals(engines.Capabilities(known.Engine), known.Of))
        {
            return (known.Engine, known.Runtime);
        }

        var engine = CheckEngine(null);
        var capabilities = engines.Capabilities(engine);
        try
        {
            var runtime = CheckRuntime(language, engine);
            if (capabilities is not null)
            {
                _languages[language] = new Chosen(capabilities, engine, runtime);
            }

            return (engine, runtime);
        }
        catch (RefusedException refused)
        {
            throw new RefusedException(refused.Code, refused.Message, refused.Entry, "language", refused.Limit, refused.Knob);
        }
    }

    /// <summary>Refuses <c>freshness: snapshot</c> where the engine cannot have it.</summary>
    public void CheckSnapshot(string engine)
    {
        if (Capabilities(engine, "freshness").NoSnapshot is { } reason)
        {
            throw new RefusedException("unsupported_freshness", $"The engine {engine} cannot do freshness snapshot on this host: {reason}.",
                field: "freshness", limit: "warm, fresh");
        }
    }

    /// <summary>Refuses what only a start of its own obeys for a function with <c>freshness: snapshot</c>.</summary>
    public void CheckSnapshotEnvironment(string engine, string runtime, IReadOnlyDictionary<string, string> environment)
    {
        if (engines.BootVariable(engine, runtime, environment) is { } variable)
        {
            throw new RefusedException("unsupported_freshness",
                $"The interpreter reads {variable} when it starts, which is before anything is forked: freshness snapshot cannot obey it. Leave the variable out, or use freshness warm or fresh.",
                field: "environment." + variable, limit: "warm, fresh");
        }
    }

    /// <summary>Refuses <c>network: egress</c> where the engine cannot have it.</summary>
    public void CheckEgress(string engine)
    {
        if (Capabilities(engine, "network").NoEgress is { } reason)
        {
            throw new RefusedException("unsupported_network", $"The engine {engine} cannot do network egress on this host: {reason}.", field: "network", limit: "none");
        }
    }

    private EngineCapabilities Capabilities(string engine, string field) =>
        engines.Find(engine) is { Unavailable: null, Capabilities: { } capabilities }
            ? capabilities
            : throw new RefusedException("engine_unavailable", $"The engine {engine} does not work at the moment, so it cannot say whether it can do this.", field: field);

    private sealed record Joined(EngineCapabilities Of, string Text);

    private sealed record Chosen(EngineCapabilities Of, string Engine, string Runtime);

    private static string List(IEnumerable<string> names) => string.Join(", ", names) is { Length: > 0 } list ? list : "none";

    /// <summary>By version number: python3.9 is older than python3.11.</summary>
    private static string? Newest(IEnumerable<string> runtimes, string prefix) =>
        runtimes.Where(name => name.StartsWith(prefix, StringComparison.Ordinal))
            .MaxBy(name => Version.TryParse(name[prefix.Length..] is var text && text.Contains('.') ? text : text + ".0", out var version) ? version : new Version(0, 0));
}
