using Flint.Contracts.Host;
using Flint.Runtime.Sandboxing;

namespace Flint.Server.Services;

/// <summary>The engines of this server, which of them work here, and what runtimes they have. Fixed once <see cref="StartAsync"/> has completed.</summary>
internal sealed partial class EngineDirectory(IEnumerable<ISandboxEngine> engines, ILogger<EngineDirectory> log)
{
    private readonly ISandboxEngine[] _engines = [.. engines];
    private readonly Dictionary<string, string> _failures = new(StringComparer.Ordinal);
    private volatile bool _started;

    /// <summary>The names that stand for the newest runtime of a language.</summary>
    private static readonly (string Alias, string Prefix)[] Aliases = [("python", "python"), ("javascript", "nodejs")];

    /// <summary>The engine that functions get when they name none.</summary>
    public string Default => _engines.Length > 0 ? _engines[0].Name : "native";

    public bool AnyAvailable => _started && _engines.Any(engine => !_failures.ContainsKey(engine.Name));

    /// <summary>Starts them all. One that cannot work here is told of, by log, health and refusals; the server goes on without it.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        foreach (var engine in _engines)
        {
            try
            {
                await engine.StartAsync(cancellationToken).ConfigureAwait(false);
                LogStarted(engine.Name, string.Join(", ", engine.Capabilities.Runtimes));
            }
            catch (EngineException exception)
            {
                _failures[engine.Name] = exception.Message;
                LogUnavailable(engine.Name, exception.Message);
            }
        }

        _started = true;
    }

    public IReadOnlyList<EngineView> Views() =>
    [
        .. _engines.Select(engine => _failures.TryGetValue(engine.Name, out var reason) || !_started
            ? new EngineView(engine.Name, false, reason ?? "It is starting.", [], [])
            : new EngineView(engine.Name, true, null, engine.Capabilities.Runtimes, engine.Capabilities.Unenforced)),
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
        var missing = Views().FirstOrDefault(view => view.Name == engine)?.Unenforced;
        return missing is { Count: > 0 } ? string.Join(',', missing) : null;
    }

    public string CheckEngine(string? name)
    {
        name ??= Default;
        return _engines.Any(engine => engine.Name == name)
            ? name
            : throw new RefusedException("unknown_engine", $"There is no such engine here; there are: {List(_engines.Select(e => e.Name))}.", field: "engine");
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

    private static string List(IEnumerable<string> names) => string.Join(", ", names) is { Length: > 0 } list ? list : "none";

    /// <summary>By version number: python3.9 is older than python3.11.</summary>
    private static string? Newest(IEnumerable<string> runtimes, string prefix) =>
        runtimes.Where(name => name.StartsWith(prefix, StringComparison.Ordinal))
            .MaxBy(name => Version.TryParse(name[prefix.Length..] is var text && text.Contains('.') ? text : text + ".0", out var version) ? version : new Version(0, 0));

    [LoggerMessage(2201, LogLevel.Information, "Engine {Engine} is up; runtimes: {Runtimes}")]
    private partial void LogStarted(string engine, string runtimes);

    [LoggerMessage(2202, LogLevel.Error, "Engine {Engine} does not work on this host: {Reason}")]
    private partial void LogUnavailable(string engine, string reason);
}
