using System.Collections.ObjectModel;
using System.ComponentModel;
using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Flint.Engines.Native;

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

    public IEnumerable<GuestRuntime> All => _byName.Values;

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

            using var stdout = process.StandardOutput;
            try
            {
                var output = await stdout.ReadToEndAsync(cancellationToken).WaitAsync(VersionLimit, cancellationToken);
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
