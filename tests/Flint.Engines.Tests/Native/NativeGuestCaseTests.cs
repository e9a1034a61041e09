using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Engines.Tests.Native;

/// <summary>guest/conformance/cases.json inside the native engine's sandboxes.</summary>
public sealed class NativeGuestCaseTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    public static TheoryData<string, string> Cases { get; } = AllCases();

    [Theory]
    [MemberData(nameof(Cases))]
    public Task A_forked_guest_behaves_as_its_case_says(string guestCase, string language) => RunAsync(guestCase, language, StartMode.Zygote);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task An_executed_guest_behaves_as_its_case_says(string guestCase, string language) => RunAsync(guestCase, language, StartMode.Exec);

    private async Task RunAsync(string guestCase, string language, StartMode start)
    {
        Assert.SkipWhen(host.Missing is not null, host.Missing ?? "");
        await GuestCaseRunner.RunAsync(new GuestHost(CreateAsync, static _ => "/var/task"), guestCase, host.Runtime(language));

        async Task<ISandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken)
        {
            var sandbox = await host.Engine.CreateAsync(spec with { CodeDirectory = host.Code(spec.CodeDirectory), Start = start }, cancellationToken);
            // A case whose environment an interpreter reads when it boots is executed in either mode, and says so.
            (sandbox.Start == start || sandbox.StartReason!.StartsWith("the environment variable", StringComparison.Ordinal)).ShouldBeTrue(sandbox.StartReason);
            return sandbox;
        }
    }

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
