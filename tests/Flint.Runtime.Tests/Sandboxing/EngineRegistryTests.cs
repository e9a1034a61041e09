using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Runtime.Tests.Sandboxing;

public sealed class EngineRegistryTests
{
    private static readonly SandboxSpec Spec = new()
    {
        TenantId = "default",
        Runtime = "python3.11",
        CodeDirectory = "/code",
        MemoryMb = 128,
        TmpMb = 512,
        Environment = new Dictionary<string, string>(),
    };

    [Fact]
    public async Task An_engine_that_cannot_start_is_unavailable_with_its_reason_and_the_others_work()
    {
        var registry = New(new FakeEngine("docker") { StartFailure = "no socket at /var/run/docker.sock" }, new FakeEngine());
        await registry.StartAsync(default);
        registry.Find("docker")!.Unavailable.ShouldBe("no socket at /var/run/docker.sock");
        registry.Find("native")!.Unavailable.ShouldBeNull();
        (await Should.ThrowAsync<EngineException>(registry.CreateAsync("docker", Spec, default))).Message.ShouldContain("no socket at");
        (await registry.CreateAsync("native", Spec, default)).Id.ShouldBe("fake-1");
    }

    [Fact]
    public async Task An_engine_is_not_used_before_it_is_started()
    {
        var registry = New(new FakeEngine());
        (await Should.ThrowAsync<EngineException>(registry.CreateAsync("native", Spec, default))).Message.ShouldContain("not been started");
    }

    [Fact]
    public async Task Whatever_an_engine_throws_becomes_an_engine_exception()
    {
        var registry = New(new FakeEngine { OnCreate = (_, _) => throw new InvalidCastException("bug") });
        await registry.StartAsync(default);
        (await Should.ThrowAsync<EngineException>(registry.CreateAsync("native", Spec, default))).InnerException.ShouldBeOfType<InvalidCastException>();
    }

    private static EngineRegistry New(params ISandboxEngine[] engines) => new(
        engines, new SandboxJanitor(TimeProvider.System, NullLogger<SandboxJanitor>.Instance), NullLogger<EngineRegistry>.Instance);
}
