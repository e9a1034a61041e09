using System.Collections.ObjectModel;
using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>One way to boot a guest: an interpreter that the sandbox's root has, and how guest/runtimes.json says to start it.</summary>
internal sealed class GuestRuntime(string name, string interpreter, GuestLanguage language)
{
    public string Name { get; } = name;

    public IReadOnlyList<string> Arguments(int memoryMb) =>
        [.. language.Arguments.Select(argument => argument
            .Replace("{interpreter}", interpreter, StringComparison.Ordinal)
            .Replace("{heapMb}", language.HeapMb(memoryMb).ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("{semiSpaceMb}", GuestLanguage.SemiSpaceMb(memoryMb).ToString(System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal))];

    /// <summary>The language's base environment with the function's on top.</summary>
    public IReadOnlyList<string> Environment(IReadOnlyDictionary<string, string> function)
    {
        var merged = new Dictionary<string, string>(language.Environment, StringComparer.Ordinal);
        foreach (var (key, value) in function)
        {
            merged[key] = value;
        }

        return [.. merged.Select(static pair => $"{pair.Key}={pair.Value}")];
    }
}

/// <summary>The runtimes of this host: what guest/runtimes.json knows to start, and an interpreter was found for.</summary>
internal sealed partial class GuestRuntimes
{
    private static readonly TimeSpan VersionLimit = TimeSpan.FromSeconds(10);
    private static readonly string[] Folders = ["/usr/bin", "/usr/local/bin"];
    private readonly ReadOnlyDictionary<string, GuestRuntime> _byName;

    private GuestRuntimes(IDictionary<string, GuestRuntime> byName)
    {
        _byName = new ReadOnlyDictionary<string, GuestRuntime>(byName);
        Names = [.. byName.Keys.Order(StringComparer.Ordinal)];
    }

    public static GuestRuntimes None { get; } = new(new Dictionary<string, GuestRuntime>());

    public IReadOnlyList<string> Names { get; }

    public GuestRuntime? Find(string name) => _byName.GetValueOrDefault(name);

    public static async Task<GuestRuntimes> DiscoverAsync(
        string guestPath, NativeEngineOptions options, CancellationToken cancellationToken)
    {
        var languages = GuestLanguage.Load(Path.Combine(guestPath, "runtimes.json"));
        var found = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var folder in Folders)
        {
            await DiscoverAsync(options.RootPath, folder, found, cancellationToken);
        }

        foreach (var (name, path) in options.Interpreters)
        {
            found[name] = path;
        }

        var runtimes = new Dictionary<string, GuestRuntime>(StringComparer.Ordinal);
        foreach (var (name, path) in found)
        {
            if (languages.FirstOrDefault(language => name.StartsWith(language.Prefix, StringComparison.Ordinal)) is { } language)
            {
                runtimes[name] = new GuestRuntime(name, path, language);
            }
        }

        return new GuestRuntimes(runtimes);
    }

    // A root of the operator's own cannot be asked for node's version by running its node; python's name says it.
    private static async Task DiscoverAsync(
        string root, string folder, Dictionary<string, string> found, CancellationToken cancellationToken)
    {
        var directory = new DirectoryInfo(root + folder);
        if (!directory.Exists)
        {
            return;
        }

        foreach (var file in directory.EnumerateFiles("python3.*").Where(static file => PythonName().IsMatch(file.Name)))
        {
            found.TryAdd(file.Name, $"{folder}/{file.Name}");
        }

        var node = $"{folder}/node";
        if (root.Length == 0 && File.Exists(node) && await NodeMajorAsync(node, cancellationToken) is { } major)
        {
            found.TryAdd($"nodejs{major}", node);
        }
    }

    // A broken interpreter is one that is not there: the other languages must not suffer.
    private static async Task<string?> NodeMajorAsync(string path, CancellationToken cancellationToken)
    {
        var start = new ProcessStartInfo(path, ["--version"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment.Clear();
        try
        {
            using var process = Process.Start(start);
            if (process is null)
            {
                return null;
            }

            try
            {
                var output = await process.StandardOutput.ReadToEndAsync(cancellationToken).WaitAsync(VersionLimit, cancellationToken);
                var match = NodeVersion().Match(output);
                return match.Success ? match.Groups[1].Value : null;
            }
            catch (TimeoutException)
            {
                process.Kill();
                return null;
            }
        }
        catch (Win32Exception)
        {
            return null;
        }
    }

    [GeneratedRegex(@"^python3\.\d+$")]
    private static partial Regex PythonName();

    [GeneratedRegex(@"^v(\d+)\.")]
    private static partial Regex NodeVersion();
}

/// <summary>One language's entry of guest/runtimes.json.</summary>
internal sealed record GuestLanguage(
    string Prefix, IReadOnlyList<string> Arguments, IReadOnlyDictionary<string, string> Environment, int HeapPercent, int HeapReserveMb)
{
    /// <summary>The heap limit for a language that needs one: what a share and a fixed reserve leave of the memory.</summary>
    public int HeapMb(int memoryMb) => Math.Max(16, Math.Min(memoryMb * HeapPercent / 100, memoryMb - HeapReserveMb));

    /// <summary>V8's young generation takes up to three of these beside the heap limit; its default of 16 MB would not fit a small sandbox.</summary>
    public static int SemiSpaceMb(int memoryMb) => Math.Clamp(memoryMb / 64, 1, 16);

    public static IReadOnlyList<GuestLanguage> Load(string path) =>
        JsonSerializer.Deserialize<List<GuestLanguage>>(File.ReadAllText(path), JsonSerializerOptions.Web)
        ?? throw new EngineException($"{path} is empty.");
}
