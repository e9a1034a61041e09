using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Engines.Tests.Native;

/// <summary>guest/conformance/cases.json inside the native engine's sandboxes.</summary>
public sealed class NativeGuestCaseTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    public static TheoryData<string, string> Cases { get; } = AllCases();

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_in_a_sandbox_behaves_as_its_case_says(string guestCase, string language)
    {
        Assert.SkipWhen(host.Missing is not null, host.Missing ?? "");
        await GuestCaseRunner.RunAsync(new GuestHost(CreateAsync, static _ => "/var/task"), guestCase, host.Runtime(language));
    }

    private Task<ISandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken) =>
        host.Engine.CreateAsync(spec with { CodeDirectory = host.Code(spec.CodeDirectory) }, cancellationToken);

    private static TheoryData<string, string> AllCases()
    {
        TheoryData<string, string> data = [];
        foreach (var (guestCase, runtime) in GuestCases.For("python", "nodejs"))
        {
            data.Add(guestCase, runtime);
        }

        return data;
    }
}
