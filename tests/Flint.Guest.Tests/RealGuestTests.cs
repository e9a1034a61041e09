using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>guest/conformance/cases.json with this host's real interpreters, as plain processes.</summary>
public sealed class RealGuestTests
{
    public static TheoryData<string, string> Cases { get; } = AllCases();

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_behaves_as_its_case_says(string guestCase, string runtime)
    {
        Interpreters.Require(runtime);
        await GuestCaseRunner.RunAsync(ProcessGuests.Host, guestCase, runtime);
    }

    private static TheoryData<string, string> AllCases()
    {
        TheoryData<string, string> data = [];
        foreach ((string guestCase, string runtime) in GuestCases.For(ProcessGuests.Runtimes))
        {
            data.Add(guestCase, runtime);
        }
        return data;
    }
}
