using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>Where the launcher and the guests' bootstraps are: beside the server when it is published, in the source tree otherwise.</summary>
internal sealed record NativeFiles(string LauncherPath, string GuestPath)
{
    /// <summary>Where a sandbox sees <see cref="GuestPath"/>.</summary>
    private const string SandboxPath = "/var/runtime";

    public static NativeFiles Find(NativeEngineOptions options) => new(
        Require(options.LauncherPath, "flint-launcher", "native/build/flint-launcher", File.Exists, nameof(options.LauncherPath)),
        Require(options.GuestPath, "guest", "guest", static path => File.Exists(Path.Combine(path, "runtimes.json")), nameof(options.GuestPath)));

    /// <summary>Whether the guests' folder has what zygotes are preloaded with.</summary>
    /// <param name="library">Its path as seen in a sandbox.</param>
    public bool HasLibrary(string library) => File.Exists(GuestPath + library[SandboxPath.Length..]);

    private static string Require(string configured, string beside, string inTree, Func<string, bool> exists, string knob)
    {
        if (configured.Length > 0)
        {
            return exists(configured)
                ? configured
                : throw new EngineException($"Flint:Sandbox:Native:{knob} is {configured}, and there is no such thing.");
        }

        var found = Candidates(beside, inTree).FirstOrDefault(exists);
        return found ?? throw new EngineException(
            $"{beside} is neither beside the server ({AppContext.BaseDirectory}) nor at {inTree} above it. Run ./run once, or set Flint:Sandbox:Native:{knob}.");
    }

    private static IEnumerable<string> Candidates(string beside, string inTree)
    {
        yield return Path.Combine(AppContext.BaseDirectory, beside);
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            yield return Path.Combine(directory.FullName, inTree);
        }
    }
}
