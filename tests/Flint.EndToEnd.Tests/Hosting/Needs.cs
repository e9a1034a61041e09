namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>What a test needs of the machine. Skips with the reason; with CI set, fails instead.</summary>
internal static class Needs
{
    public static void Root() => That(Environment.IsPrivilegedProcess, "needs root");

    public static void That(bool met, string reason)
    {
        if (!met && !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("CI")))
        {
            Assert.Fail(reason);
        }

        Assert.SkipUnless(met, reason);
    }

    /// <summary>For what a command says about a network that is not there.</summary>
    public static void Network(ShellResult result, string what)
    {
        string[] signs = ["EAI_AGAIN", "ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "cannot be downloaded"];
        That(result.ExitCode == 0 || !signs.Any(result.Output.Contains), $"needs the network: {what}");
    }
}
