using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

internal static class Interpreters
{
    /// <summary>Skips the running test when the interpreter is missing; in CI that is a failure.</summary>
    public static void Require(string runtime) => RequireNothing(ProcessGuests.Missing(runtime));

    /// <summary>The same for its zygote.</summary>
    public static void RequireZygote(string runtime) => RequireNothing(ZygoteGuests.Missing(runtime));

    private static void RequireNothing(string? missing)
    {
        if (missing is null)
        {
            return;
        }
        Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") is not null, missing);
        Assert.Fail(missing);
    }
}
