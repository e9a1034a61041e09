namespace Flint.Security.Tests.Harness;

/// <summary>What these tests need of the host. Not met on a laptop: skipped with the reason; with CI set: failed.</summary>
internal static class Requirements
{
    /// <summary>The test variant of the launcher, whose walls can be left out one by one.</summary>
    public static string WallsLauncher { get; } = InTree("native/build/flint-launcher-walls");

    public static void Root() => Require(Environment.IsPrivilegedProcess, "needs root: limits and identities of sandboxes are tested as a server run by root has them");

    public static void Walls() => Require(File.Exists(WallsLauncher), $"{WallsLauncher} is missing: make -C native walls");

    public static void Require(bool met, string reason)
    {
        if (met)
        {
            return;
        }

        if (Environment.GetEnvironmentVariable("CI") is { Length: > 0 })
        {
            Assert.Fail(reason);
        }

        Assert.Skip(reason);
    }

    public static string InTree(string path)
    {
        for (var directory = new DirectoryInfo(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Flint.slnx")))
            {
                return Path.Combine(directory.FullName, path);
            }
        }

        return "/" + path;
    }
}
