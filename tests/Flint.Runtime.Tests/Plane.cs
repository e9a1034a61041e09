using System.Text;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Runtime.Tests;

/// <summary>An invocation plane over a fake engine, without loops and host: a test drives those by hand.</summary>
internal sealed class Plane : IAsyncDisposable
{
    public Plane(TimeProvider? time = null, SandboxOptions? sandboxes = null, LimitOptions? limits = null, FakeScript? script = null)
    {
        Time = time ?? TimeProvider.System;
        sandboxes ??= new SandboxOptions { MaxSandboxes = 4, MemoryBudgetMb = 100_000 };
        if (sandboxes.MaxColdStarts == 0)
        {
            // Most tests are not about it, and cores differ.
            sandboxes.MaxColdStarts = 10_000;
        }
        if (script is not null)
        {
            Engine.Script = _ => script;
        }
        Janitor = new SandboxJanitor(Time, NullLogger<SandboxJanitor>.Instance);
        Engines = new EngineRegistry([Engine], Janitor, NullLogger<EngineRegistry>.Instance);
        Pools = new SandboxPools(PoolLimits.From(sandboxes, new HostMemory(8192, 4096)), Janitor, Time, NullLogger<SandboxPools>.Instance);
        Dispatcher = new Dispatcher(Pools, Engines, sandboxes, limits ?? new LimitOptions(), Time, NullLogger<Dispatcher>.Instance);
        Engines.StartAsync(default).GetAwaiter().GetResult();
    }

    public TimeProvider Time { get; }
    public FakeEngine Engine { get; } = new();
    public SandboxJanitor Janitor { get; }
    public EngineRegistry Engines { get; }
    public SandboxPools Pools { get; }
    public Dispatcher Dispatcher { get; }

    public static FunctionSpec Function(string name = "hello") => new()
    {
        TenantId = "default",
        FunctionId = name,
        Name = name,
        Version = "$LATEST",
        Revision = "1",
        Runtime = "python3.11",
        Handler = "main.handler",
        CodeDirectory = "/code/" + name,
    };

    public static InvocationRequest Request(FunctionSpec? function = null, string payload = "{\"n\":1}") => new()
    {
        Id = Guid.CreateVersion7().ToString(),
        Function = function ?? Function(),
        Payload = Encoding.UTF8.GetBytes(payload),
    };

    public Task<InvocationOutcome> InvokeAsync(FunctionSpec? function = null, CancellationToken caller = default, CancellationToken aborting = default) =>
        Dispatcher.DispatchAsync(Request(function), caller, aborting);

    /// <summary>Waits until every sandbox that was discarded is gone, then checks that the pool's counts agree.</summary>
    public async Task SettleAsync()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        (await Janitor.DrainAsync(patience.Token)).ShouldBe(0);
        Pools.CheckInvariants();
    }

    public async ValueTask DisposeAsync()
    {
        Pools.Stop();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await Janitor.DrainAsync(patience.Token);
        await Engines.DisposeAsync();
        Janitor.Dispose();
        Dispatcher.Dispose();
    }
}
