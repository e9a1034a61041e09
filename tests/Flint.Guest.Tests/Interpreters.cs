using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

internal static class Interpreters
{
    /// <summary>Skips the running test when the interpreter is missing; in CI that is a failure.</summary>
    public static void Require(string runtime)
    {
        if (ProcessGuests.Missing(runtime) is not string missing)
        {
            return;
        }
        Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") is not null, missing);
        Assert.Fail(missing);
    }
}
