using Flint.Runtime.Hosting;
using Flint.Runtime.Pooling;

namespace Flint.Runtime.Tests.Pooling;

public sealed class HostMemoryTests
{
    private const string Meminfo = "MemTotal:        8000512 kB\nMemFree:          100 kB\nMemAvailable:    2048000 kB\nBuffers: 1 kB\n";

    [Fact]
    public void The_host_is_read_from_meminfo() => HostMemory.Parse(Meminfo, 100_000).ShouldBe(new HostMemory(7813, 2000));

    [Fact]
    public void A_containers_limit_counts_when_it_is_lower() => HostMemory.Parse(Meminfo, 1024).Total.ShouldBe(1024);

    [Theory]
    [InlineData("")]
    [InlineData("MemTotal: many kB\nMemAvailable: \n")]
    public void What_cannot_be_read_is_no_pressure(string text) => HostMemory.Parse(text, 512).ShouldBe(new HostMemory(512, null));

    [Fact]
    public void This_host_can_be_read() => HostMemory.Read().Total.ShouldBeGreaterThan(0);

    [Theory]
    [InlineData(512, 76, 1024, 128)]
    [InlineData(8192, 1228, 16384, 512)]
    [InlineData(65536, 4000, 131072, 1024)]
    public void Defaults_follow_the_host(int hostMb, int sandboxes, int budget, int floor)
    {
        var limits = PoolLimits.From(new SandboxOptions(), new HostMemory(hostMb, null));
        (limits.MaxSandboxes, limits.MemoryBudgetMb, limits.MemoryFloorMb).ShouldBe((sandboxes, budget, floor));
    }
}
