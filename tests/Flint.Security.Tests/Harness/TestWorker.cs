using System.Collections.Immutable;
using System.Text;
using Flint.Engines.Native;
using Flint.Engines.Native.Egress;
using Flint.Runtime.Hosting;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Flint.Security.Tests.Harness;

/// <summary>
/// A worker from the dispatcher down to the launcher, without HTTP and stores. Each has uids of its own, so that what it left behind can be told
/// from anything else on the host.
/// </summary>
internal sealed class TestWorker : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly Dispatcher _dispatcher;
    private readonly string _code;
    private int _functions;

    private TestWorker(IHost host, string code, long uidBase, int uidCount)
    {
        _host = host;
        _dispatcher = host.Services.GetRequiredService<Dispatcher>();
        _code = code;
        Leftovers = new Leftovers(uidBase, uidCount);
    }

    public Leftovers Leftovers { get; }

    /// <summary>Why the engine cannot be used here, or null.</summary>
    public string? Unavailable => _host.Services.GetRequiredService<EngineRegistry>().Find("native")?.Unavailable;

    public IReadOnlyList<string> Runtimes => _host.Services.GetRequiredService<EngineRegistry>().Find("native")?.Capabilities?.Runtimes ?? [];

    /// <param name="programs">The folder of unpacked code.</param>
    /// <param name="number">Unique among the live workers of this test run.</param>
    /// <param name="removedWalls">Walls that its launcher leaves out, in the test variant's spelling; null for the product's own launcher.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <param name="egress">The network that functions can have; null for none.</param>
    /// <param name="place">Changes the engine's options, last.</param>
    public static async Task<TestWorker> StartAsync(
        CodeFolder programs, int number, string? removedWalls, CancellationToken cancellationToken,
        EgressOptions? egress = null, Action<NativeEngineOptions>? place = null)
    {
        const int UidCount = 1000;
        // Above the default range, so that a server that runs beside the tests is in nobody's way.
        var uidBase = 2_000_000_000L + number * UidCount;
        var options = new NativeEngineOptions { ReadySandboxes = 0, UidBase = uidBase, UidCount = UidCount };
        if (removedWalls is not null)
        {
            options.LauncherPath = Requirements.WallsLauncher;
            options.ZygoteLibrary = "/var/runtime/native/libflint-zygote-walls.so";
            options.ExtraLauncherArguments = ["--without", removedWalls];
        }

        place?.Invoke(options);

        var builder = new HostBuilder().ConfigureServices(services =>
        {
            services.AddLogging(static logging => logging.AddProvider(new RecordingLoggerProvider()).SetMinimumLevel(LogLevel.Warning));
            services.AddSingleton(Options.Create(new SandboxOptions { MaxSandboxes = 64, MemoryBudgetMb = 100_000, MemoryFloorMb = 0, FreezeAfterMs = 20 }));
            services.AddFlintRuntime();
            services.AddNativeEngine(_ => new NativeEngineSettings(options, programs.Path, []) { Egress = egress ?? new EgressOptions { Enabled = false } });
        });
        var host = builder.Build();
        await host.StartAsync(cancellationToken);
        return new TestWorker(host, programs.Path, uidBase, UidCount);
    }

    /// <summary>A function of a tenant of its own, so that whatever is found under that name is its.</summary>
    public FunctionSpec Function(string runtime, string handler, string code)
    {
        var number = Interlocked.Increment(ref _functions);
        return new FunctionSpec
        {
            TenantId = $"t{number}",
            FunctionId = $"f{number}",
            Name = $"attack-{number}",
            Version = "$LATEST",
            Revision = "1",
            Runtime = runtime,
            Handler = handler,
            CodeDirectory = Path.Combine(_code, code),
            MemoryMb = 256,
            TmpMb = 64,
            TimeoutMs = 10_000,
            Environment = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal),
            Start = StartMode.Exec,
            Freshness = Freshness.Fresh,
        };
    }

    public Task<InvocationOutcome> InvokeAsync(FunctionSpec function, string payload) => InvokeAsync(function, Encoding.UTF8.GetBytes(payload));

    public Task<InvocationOutcome> InvokeAsync(FunctionSpec function, byte[] payload) => DispatchAsync(Guid.CreateVersion7().ToString(), function, payload);

    /// <summary>Gives the id that the guest was told as well.</summary>
    public async Task<(string Id, InvocationOutcome Outcome)> InvokeWithIdAsync(FunctionSpec function, string payload)
    {
        var id = Guid.CreateVersion7().ToString();
        return (id, await DispatchAsync(id, function, Encoding.UTF8.GetBytes(payload)));
    }

    /// <summary>Every tenant that a function was made for.</summary>
    public IEnumerable<string> Tenants => Enumerable.Range(1, _functions).Select(static number => $"t{number}");

    /// <summary>The neighbour, made first, excepted.</summary>
    public void RetireAll()
    {
        foreach (var number in Enumerable.Range(2, _functions - 1))
        {
            _host.Services.GetRequiredService<SandboxPools>().RetireFunction($"t{number}", $"f{number}");
        }
    }

    /// <summary>Gives up whatever sandboxes of the function are kept.</summary>
    public void Retire(FunctionSpec function) => _host.Services.GetRequiredService<SandboxPools>().RetireFunction(function.TenantId, function.FunctionId);

    private Task<InvocationOutcome> DispatchAsync(string id, FunctionSpec function, byte[] payload) => _dispatcher.DispatchAsync(
        new InvocationRequest { Id = id, Function = function, Payload = payload }, CancellationToken.None, CancellationToken.None);

    public async ValueTask DisposeAsync()
    {
        using (_host)
        {
            await _host.StopAsync();
        }
    }
}
