using System.Text.Json;
using System.Text.Json.Serialization;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>Where guest cases run: anything that makes a sandbox with a booting guest in it.</summary>
/// <param name="Create">As <see cref="ISandboxEngine.CreateAsync"/>; the runner destroys what it makes.</param>
/// <param name="TaskRoot">Where the guest sees the code, given the code's directory on this host.</param>
public sealed record GuestHost(Func<SandboxSpec, CancellationToken, Task<ISandbox>> Create, Func<string, string> TaskRoot)
{
    /// <summary>Where the code's directories are made; null for the system's temporary directory.</summary>
    public string? CodeParent { get; init; }

    /// <summary>Any engine.</summary>
    /// <param name="engine">A started engine.</param>
    /// <param name="codeParent">The directory whose children the engine may mount as code.</param>
    public static GuestHost Of(ISandboxEngine engine, string? codeParent = null) =>
        new(engine.CreateAsync, static _ => "/var/task") { CodeParent = codeParent };
}

/// <summary>The cases of guest/conformance: those of functions, and those of jobs.</summary>
public static class GuestCases
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web)
    {
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    /// <summary>The source tree's guest directory, found upwards from the running test.</summary>
    public static string GuestDirectory { get; } = FindGuestDirectory();

    public static IReadOnlyList<GuestCase> Load() =>
        [.. new[] { "cases.json", "jobs.json" }.SelectMany(static name =>
            JsonSerializer.Deserialize<List<GuestCase>>(File.ReadAllText(Path.Combine(GuestDirectory, "conformance", name)), Json)!)];

    /// <summary>Case names and runtimes for a theory: every case in every one of the given runtimes that it has a program for.</summary>
    public static IEnumerable<(string Case, string Runtime)> For(params IReadOnlyList<string> runtimes) =>
        from guestCase in Load()
        from runtime in runtimes
        where guestCase.Languages.ContainsKey(Language(runtime))
        select (guestCase.Name, runtime);

    internal static string Language(string runtime) => runtime.StartsWith("python", StringComparison.Ordinal) ? "python" : "nodejs";

    private static string FindGuestDirectory()
    {
        for (DirectoryInfo? at = new(AppContext.BaseDirectory); at is not null; at = at.Parent)
        {
            string candidate = Path.Combine(at.FullName, "guest");
            if (File.Exists(Path.Combine(candidate, "runtimes.json")))
            {
                return candidate;
            }
        }
        throw new DirectoryNotFoundException("guest/runtimes.json was found nowhere above " + AppContext.BaseDirectory);
    }
}
