using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Tests.Native;

public sealed class SandboxExitsTests
{
    [Theory]
    [InlineData(137, 0, false, false)]
    [InlineData(0, 0, false, false)]
    [InlineData(0, 6, false, false)]
    [InlineData(0, 9, false, true)]
    [InlineData(0, 9, true, false)]
    public void Only_a_kill_is_the_platforms_when_it_had_asked_for_one(uint code, uint signal, bool outOfMemory, bool platforms) =>
        SandboxExits.Of(code, signal, outOfMemory, killed: true)
            .ShouldBe(new SandboxExit(signal == 0 ? (int)code : null, signal == 0 ? null : (int)signal, outOfMemory, platforms));
}
