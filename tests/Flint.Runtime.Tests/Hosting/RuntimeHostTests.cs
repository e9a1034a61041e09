using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Loops;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Flint.Runtime.Tests.Hosting;

public sealed class RuntimeHostTests
{
    [Fact]
    public async Task A_host_starts_invokes_and_stops_without_a_sandbox_left()
    {
        var engine = new FakeEngine();
        using var host = Build(engine, options => { });
        await host.StartAsync();
        var dispatcher = host.Services.GetRequiredService<Dispatcher>();
        (await dispatcher.DispatchAsync(Plane.Request(), default, default)).Status.ShouldBe(InvocationStatus.Completed);
        engine.Live.ShouldBe(1);
        host.Services.GetServices<BackgroundLoop>().Select(loop => loop.State.Name).ShouldBe(["sandbox-janitor", "idle-freezer", "idle-pruner"]);
        await host.StopAsync();
        engine.Live.ShouldBe(0);
        (await dispatcher.DispatchAsync(Plane.Request(), default, default)).Error!.Type.ShouldBe(FaultType.EngineUnavailable);
    }

    [Fact]
    public async Task Stopping_takes_snapshots_along_idle_and_renewing()
    {
        var engine = new FakeEngine();
        using var host = Build(engine, options => { });
        await host.StartAsync();
        var dispatcher = host.Services.GetRequiredService<Dispatcher>();
        foreach (var name in (string[])["a", "b", "c"])
        {
            var request = Plane.Request(Plane.Function(name) with { Freshness = Freshness.Snapshot });
            (await dispatcher.DispatchAsync(request, default, default)).Status.ShouldBe(InvocationStatus.Completed);
        }
        await host.StopAsync();
        engine.Live.ShouldBe(0);
        host.Services.GetRequiredService<SandboxPools>().RenewalsEnded.IsCompleted.ShouldBeTrue();
    }

    [Fact]
    public async Task Stopping_lets_running_invocations_finish()
    {
        var (began, release) = (new TestSignal(), new TaskCompletionSource());
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = async e =>
                {
                    began.Set();
                    await release.Task;
                    return new FakeAnswer.Result(e.Payload);
                },
            },
        };
        using var host = Build(engine, options => { });
        await host.StartAsync();
        var invoke = host.Services.GetRequiredService<Dispatcher>().DispatchAsync(Plane.Request(), default, default);
        await began.WaitAsync();
        var stop = host.StopAsync();
        (await host.Services.GetRequiredService<Dispatcher>().DispatchAsync(Plane.Request(), default, default)).Error.ShouldNotBeNull();
        release.SetResult();
        (await invoke).Status.ShouldBe(InvocationStatus.Completed);
        await stop;
        engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task Stopping_kills_what_does_not_finish_in_time()
    {
        var began = new TestSignal();
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = _ =>
                {
                    began.Set();
                    return ValueTask.FromResult<FakeAnswer>(new FakeAnswer.Hang());
                },
            },
        };
        using var host = Build(engine, options => options.DrainTimeoutMs = 50);
        await host.StartAsync();
        var invoke = host.Services.GetRequiredService<Dispatcher>().DispatchAsync(Plane.Request(Plane.Function() with { TimeoutMs = 900_000 }), default, default);
        await began.WaitAsync();
        await host.StopAsync();
        (await invoke).Error!.Type.ShouldBe(FaultType.SandboxLost);
        engine.Live.ShouldBe(0);
    }

    [Fact]
    public async Task Bad_options_stop_the_start_with_all_problems()
    {
        using var host = Build(new FakeEngine(), options => (options.MaxSandboxes, options.QueueLimit) = (-1, -1));
        var refusal = await Should.ThrowAsync<OptionsValidationException>(() => host.StartAsync());
        refusal.Failures.Count().ShouldBe(2);
    }

    [Fact]
    public async Task A_dead_engine_does_not_stop_the_start()
    {
        using var host = Build(new FakeEngine { StartFailure = "no namespaces" }, _ => { });
        await host.StartAsync();
        var outcome = await host.Services.GetRequiredService<Dispatcher>().DispatchAsync(Plane.Request(), default, default);
        outcome.Error!.Type.ShouldBe(FaultType.EngineUnavailable);
        outcome.Error.Message.ShouldContain("no namespaces");
        host.Services.GetRequiredService<EngineRegistry>().Engines.Single().Capabilities.ShouldBeNull();
        host.Services.GetRequiredService<SandboxPools>().Statistics().Live.ShouldBe(0);
        await host.StopAsync();
    }

    private static IHost Build(FakeEngine engine, Action<SandboxOptions> configure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton<ISandboxEngine>(engine);
        builder.Services.Configure(configure);
        builder.Services.AddFlintRuntime();
        return builder.Build();
    }
}
