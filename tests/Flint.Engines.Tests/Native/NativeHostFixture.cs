using Flint.Engines.Native;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native;

/// <summary>One real native engine for a class of tests, with a code directory of its own. Needs root (or delegated cgroups) and a built launcher.</summary>
public sealed class NativeHostFixture : IAsyncLifetime
{
    private readonly DirectoryInfo _code = Directory.CreateTempSubdirectory("flint-code-");
    private int _lastCode;

    public ISandboxEngine Engine { get; private set; } = null!;

    /// <summary>Why the tests cannot run here, or null.</summary>
    public string? Missing { get; private set; }

    public async ValueTask InitializeAsync()
    {
        File.SetUnixFileMode(_code.FullName, (UnixFileMode)Convert.ToInt32("755", 8));
        Engine = NewEngine();
        try
        {
            await Engine.StartAsync(CancellationToken.None);
            await BootedAsync(Engine);
        }
        catch (EngineException exception) when (Environment.GetEnvironmentVariable("CI") is null)
        {
            Missing = exception.Message;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Engine.DisposeAsync();
        _code.Delete(recursive: true);
    }

    public ISandboxEngine NewEngine(NativeEngineOptions? options = null, TimeProvider? time = null) => NativeServiceCollectionExtensions.CreateNativeEngine(
        new NativeEngineSettings(options ?? new NativeEngineOptions(), _code.FullName, []), NullLoggerFactory.Instance, time ?? TimeProvider.System);

    /// <summary>A started engine of a test's own, with its zygotes up.</summary>
    internal async Task<NativeEngine> StartEngineAsync(NativeEngineOptions? options = null, TimeProvider? time = null)
    {
        Assert.SkipWhen(Missing is not null, Missing ?? "");
        var engine = (NativeEngine)NewEngine(options, time);
        await engine.StartAsync(CancellationToken.None);
        await BootedAsync(engine);
        return engine;
    }

    // On a busy machine a boot takes longer than requests wait for it.
    internal static Task BootedAsync(ISandboxEngine engine) =>
        Task.WhenAll(((NativeEngine)engine).Zygotes.Select(keeper => keeper.FirstBoot)).WaitAsync(TimeSpan.FromSeconds(60));

    /// <summary>Unpacked code as the server would leave it.</summary>
    public string Code(params (string Name, string Text)[] files)
    {
        var folder = _code.CreateSubdirectory($"code{Interlocked.Increment(ref _lastCode)}");
        foreach (var (name, text) in files)
        {
            File.WriteAllText(Path.Combine(folder.FullName, name), text);
        }

        return folder.FullName;
    }

    /// <summary>A copy of a directory, where the engine mounts code from.</summary>
    public string Code(string directory)
    {
        var copy = Code();
        foreach (var path in Directory.EnumerateFiles(directory, "*", SearchOption.AllDirectories))
        {
            var target = Path.Combine(copy, Path.GetRelativePath(directory, path));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(path, target);
        }

        return copy;
    }

    public string Runtime(string language) => Engine.Capabilities.Runtimes.First(name => name.StartsWith(language, StringComparison.Ordinal));

    /// <summary>A spec for code that is one file.</summary>
    public SandboxSpec Spec(string language, string source)
    {
        Assert.SkipWhen(Missing is not null, Missing ?? "");
        return new SandboxSpec
        {
            TenantId = "default",
            Runtime = Runtime(language),
            CodeDirectory = Code((language == "python" ? "main.py" : "main.js", source)),
            MemoryMb = 128,
            TmpMb = 64,
            Environment = new Dictionary<string, string>(),
        };
    }

    /// <summary>A sandbox with its handler loaded.</summary>
    public async Task<RunningGuest> StartAsync(string language, string source, Func<SandboxSpec, SandboxSpec>? adjust = null)
    {
        var spec = Spec(language, source);
        spec = adjust?.Invoke(spec) ?? spec;
        var sandbox = await Engine.CreateAsync(spec, CancellationToken.None);
        return await RunningGuest.InitAsync(sandbox, spec.MemoryMb);
    }
}

/// <summary>A sandbox and the connection to its guest.</summary>
public sealed class RunningGuest : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);
    private readonly GuestConnection _connection;

    private RunningGuest(ISandbox sandbox, GuestConnection connection)
    {
        Sandbox = sandbox;
        _connection = connection;
    }

    public ISandbox Sandbox { get; }

    public CapturedLog LastLog { get; private set; } = CapturedLog.Empty;

    public static async Task<RunningGuest> InitAsync(ISandbox sandbox, int memoryMb)
    {
        var guest = new RunningGuest(sandbox, new GuestConnection(sandbox, new GuestLimits()));
        using var limit = new CancellationTokenSource(Limit);
        var log = new InvocationLog(1 << 20, TimeProvider.System);
        var init = new GuestInit
        {
            Handler = "main.handler",
            FunctionName = "test",
            FunctionVersion = "$LATEST",
            InvokedFunctionArn = "arn:flint:lambda:local:default:function:test",
            MemoryMb = memoryMb,
            Environment = sandbox.GuestEnvironment,
            Snapshot = sandbox.Template is not null,
        };
        var error = await guest._connection.InitAsync(init, log, limit.Token);
        error.ShouldBeNull($"{error} {string.Join('\n', log.Complete().Lines)}");
        return guest;
    }

    public static RunningGuest OfFork(ISandbox fork) => new(fork, GuestConnection.AfterInit(fork, new GuestLimits()));

    /// <summary>The answer as text, or <c>ERROR name: message</c>.</summary>
    public async Task<string> InvokeAsync(string payload = "{}")
    {
        using var limit = new CancellationTokenSource(Limit);
        var log = new InvocationLog(1 << 20, TimeProvider.System);
        try
        {
            var invoke = new GuestInvoke(
                "request", TimeProvider.System.GetUtcNow() + Limit, System.Text.Encoding.UTF8.GetBytes(payload), null, null);
            var reply = await _connection.InvokeAsync(invoke, log, limit.Token);
            return reply.Error is { } error ? $"ERROR {error.Name}: {error.Message}" : System.Text.Encoding.UTF8.GetString(reply.Result.Span);
        }
        finally
        {
            LastLog = log.Complete();
        }
    }

    public Task<SandboxExit> ExitAsync() => Sandbox.Exited.WaitAsync(Limit);

    public async ValueTask DisposeAsync() => await Sandbox.DestroyAsync().WaitAsync(Limit);
}
