using Flint.Runtime.Hosting;

namespace Flint.Runtime.Tests.Hosting;

public sealed class OptionsTests
{
    [Fact]
    public void Defaults_are_valid()
    {
        new SandboxOptions().Validate().ShouldBeEmpty();
        new LimitOptions().Validate().ShouldBeEmpty();
    }

    [Fact]
    public void All_problems_are_told_at_once_with_key_value_and_range()
    {
        var problems = new SandboxOptions { MaxSandboxes = -1, MemoryBudgetMb = 5, FreezeAfterMs = -2, QueueLimit = 0, AllowUnenforced = ["disk"] }.Validate();
        problems.Count.ShouldBe(5);
        problems.ShouldContain("Flint:Sandbox:MemoryBudgetMb is 5; it must be 128 to 2147483647, or 0.");
        problems.ShouldContain("Flint:Sandbox:AllowUnenforced contains 'disk'; it must be one of memory, pids, cpu.");
        new LimitOptions { MaxPayloadBytes = 7_000_000, MaxJsonDepth = 0 }.Validate().Count.ShouldBe(2);
    }

    [Fact]
    public void Special_values_are_allowed() =>
        new SandboxOptions { MaxSandboxes = 0, MemoryBudgetMb = 0, MemoryFloorMb = -1, FreezeAfterMs = -1, AllowUnenforced = ["memory", "pids", "cpu"] }.Validate().ShouldBeEmpty();
}
