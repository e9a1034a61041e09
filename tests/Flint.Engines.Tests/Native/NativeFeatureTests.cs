using Flint.Runtime.Sandboxing;
using Flint.TestKit.Guest;

namespace Flint.Engines.Tests.Native;

/// <summary>What functions use, in forked sandboxes with every wall: the real launcher and real interpreters.</summary>
public sealed class NativeFeatureTests(NativeHostFixture host) : IClassFixture<NativeHostFixture>
{
    public static TheoryData<string, string> Features { get; } = AllFeatures();

    [Theory]
    [MemberData(nameof(Features))]
    public async Task A_forked_sandbox_can(string language, string feature)
    {
        await using var guest = await host.StartAsync(language, GuestFeatures.Source(language, feature), static spec => spec with { MemoryMb = 256 });
        guest.Sandbox.Start.ShouldBe(StartMode.Zygote, guest.Sandbox.StartReason);
        (await guest.InvokeAsync()).ShouldBe("true");
    }

    [Fact]
    public async Task A_forked_sandbox_finds_a_library_that_comes_with_the_code()
    {
        var directory = host.Code(("main.py", "import ctypes\ndef handler(event, context): return ctypes.CDLL('libvendored.so').getpid() > 0"));
        var library = Directory.CreateDirectory(Path.Combine(directory, "lib")).FullName;
        File.Copy("/lib/x86_64-linux-gnu/libpthread.so.0", Path.Combine(library, "libvendored.so"));
        File.SetUnixFileMode(library, (UnixFileMode)0x1ed);
        await using var guest = await host.StartAsync("python", "", spec => spec with { CodeDirectory = directory });
        guest.Sandbox.Start.ShouldBe(StartMode.Zygote, guest.Sandbox.StartReason);
        (await guest.InvokeAsync()).ShouldBe("true");
    }

    private static TheoryData<string, string> AllFeatures()
    {
        TheoryData<string, string> data = [];
        foreach (var language in (string[])["python", "nodejs"])
        {
            foreach (var feature in GuestFeatures.Of(language))
            {
                data.Add(language, feature);
            }
        }

        return data;
    }
}
