using System.Globalization;
using System.Text.Json;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>Starts this host's interpreters as plain processes, by guest/runtimes.json.</summary>
public static class ProcessGuests
{
    /// <summary>The runtimes that tests with real interpreters run.</summary>
    public static IReadOnlyList<string> Runtimes { get; } = ["python3.11", "nodejs20"];

    public static GuestHost Host { get; } = new(
        static (spec, _) => Task.FromResult<ISandbox>(Start(spec)), static code => code);

    /// <summary>Null when the runtime's interpreter is here, else what is missing.</summary>
    public static string? Missing(string runtime)
    {
        string path = Interpreter(runtime);
        return File.Exists(path) ? null : $"{path} is not installed";
    }

    public static ProcessSandbox Start(SandboxSpec spec)
    {
        using JsonDocument manifest = Manifest();
        JsonElement language = Language(manifest, spec.Runtime);
        string[] arguments = [.. language.GetProperty("arguments").EnumerateArray().Select(argument => Expand(argument.GetString()!, spec))];
        return ProcessSandbox.Start(arguments, Environment(language, spec));
    }

    internal static JsonDocument Manifest() => JsonDocument.Parse(File.ReadAllText(Path.Combine(GuestCases.GuestDirectory, "runtimes.json")));

    internal static JsonElement Language(JsonDocument manifest, string runtime) => manifest.RootElement.EnumerateArray().Single(entry =>
        runtime.StartsWith(entry.GetProperty("prefix").GetString()!, StringComparison.Ordinal));

    /// <summary>The language's environment with the function's on top, for code that lies where it lies.</summary>
    internal static Dictionary<string, string> Environment(JsonElement language, SandboxSpec spec)
    {
        Dictionary<string, string> environment = new(StringComparer.Ordinal);
        foreach (JsonProperty variable in language.GetProperty("environment").EnumerateObject())
        {
            environment[variable.Name] = variable.Value.GetString()!.Replace("/var/task", spec.CodeDirectory, StringComparison.Ordinal);
        }
        foreach ((string name, string value) in spec.Environment)
        {
            environment[name] = value;
        }
        return environment;
    }

    private static string Expand(string argument, SandboxSpec spec) => argument
        .Replace("{interpreter}", Interpreter(spec.Runtime), StringComparison.Ordinal)
        .Replace("{heapMb}", Math.Min(spec.MemoryMb * 9 / 10, spec.MemoryMb - 40).ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("{semiSpaceMb}", Math.Clamp(spec.MemoryMb / 64, 1, 16).ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
        .Replace("/var/runtime", GuestCases.GuestDirectory, StringComparison.Ordinal);

    internal static string Interpreter(string runtime) =>
        runtime.StartsWith("python", StringComparison.Ordinal) ? "/usr/bin/" + runtime : "/usr/bin/node";
}
