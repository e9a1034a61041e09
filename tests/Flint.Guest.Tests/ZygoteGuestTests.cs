using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>guest/conformance/cases.json in forks of a zygote: they behave as guests that were started.</summary>
public sealed class ZygoteGuestTests(Zygotes zygotes) : IClassFixture<Zygotes>
{
    public static TheoryData<string, string> Cases => RealGuestTests.Cases;

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_forked_guest_behaves_as_its_case_says(string guestCase, string runtime) =>
        await GuestCaseRunner.RunAsync(zygotes.Of(runtime).Host, guestCase, runtime);
}

/// <summary>One zygote of each runtime for a class of tests.</summary>
public sealed class Zygotes : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, ZygoteGuests> _zygotes = [];

    /// <summary>Skips the running test when it cannot run; in CI that is a failure.</summary>
    public ZygoteGuests Of(string runtime)
    {
        Interpreters.RequireZygote(runtime);
        lock (_lock)
        {
            if (!_zygotes.TryGetValue(runtime, out ZygoteGuests? zygote))
            {
                _zygotes[runtime] = zygote = new ZygoteGuests(runtime);
            }
            return zygote;
        }
    }

    public void Dispose()
    {
        foreach (ZygoteGuests zygote in _zygotes.Values)
        {
            zygote.Dispose();
        }
    }
}
