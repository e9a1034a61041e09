using Flint.Engines.Native.Egress;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>What the native engine needs to know beside its own options.</summary>
/// <param name="Options">Validated options.</param>
/// <param name="CodeDirectory">The folder whose children are the unpacked code that sandboxes mount.</param>
/// <param name="AllowUnenforced">Limits that may go unenforced: <c>memory</c>, <c>pids</c>, <c>cpu</c>.</param>
public sealed record NativeEngineSettings(NativeEngineOptions Options, string CodeDirectory, IReadOnlyList<string> AllowUnenforced)
{
    /// <summary>Validated options of the network that functions can have. Switched off unless given: making it costs some tens of milliseconds and megabytes.</summary>
    public EgressOptions Egress { get; init; } = new() { Enabled = false };

    /// <summary>
    /// What waits for a guest's answer runs on the thread that sees it come, where nothing may block or compute for long; otherwise in the thread pool.
    /// </summary>
    public bool AnswersInline { get; init; }
}

/// <summary>
/// The default engine on Linux: sandboxes out of namespaces, cgroups and seccomp, made by the launcher. Keeps one launcher alive; when it
/// dies, its sandboxes are lost and another is started.
/// </summary>
internal sealed partial class NativeEngine : ISandboxEngine
{
    private static readonly TimeSpan FirstRestartDelay = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestRestartDelay = TimeSpan.FromSeconds(30);
    private readonly NativeEngineSettings _settings;
    private readonly ILoggerFactory _loggers;
    private readonly ILogger<NativeEngine> _logger;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopping = new();

    // Set by StartAsync, then only read, but for the current launcher, which the supervisor swaps.
    private GuestRuntimes _runtimes = GuestRuntimes.None;
    private GuestPollers? _pollers;
    private volatile NativeLauncher? _current;
    private volatile EngineCapabilities _capabilities = new([], false, false, []);
    private volatile string _restartFailure = "it ended by itself";
    private Task _supervisor = Task.CompletedTask;
    private int _disposed;

    public NativeEngine(NativeEngineSettings settings, ILoggerFactory loggers, TimeProvider time)
    {
        _settings = settings;
        _loggers = loggers;
        _logger = loggers.CreateLogger<NativeEngine>();
        _time = time;
    }

    public string Name => "native";

    public EngineCapabilities Capabilities => _capabilities;

    public string? Trouble => _current is null ? $"The launcher is being restarted: {_restartFailure}." : null;

    /// <summary>For tests: cells that are ready now.</summary>
    internal int ReadyCells => _current?.Stock.Ready ?? 0;

    /// <summary>For tests: the present launcher's process.</summary>
    internal int LauncherPid => _current?.Session.ProcessId ?? 0;

    /// <summary>For tests: the present launcher's zygotes.</summary>
    internal IReadOnlyCollection<ZygoteKeeper> Zygotes => _current?.Zygotes ?? [];

    /// <summary>For tests: whose questions the present launcher's sandboxes ask.</summary>
    internal DnsAskers? Askers => _current?.Askers;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        var files = NativeFiles.Find(_settings.Options);
        _runtimes = await GuestRuntimes.DiscoverAsync(files.GuestPath, _settings.Options, cancellationToken);
        if (NativeHost.RefusalOf(_runtimes) is { } refusal)
        {
            throw new EngineException(refusal);
        }

        var session = await OpenAsync(CommandFor(files), cancellationToken);
        _pollers = new GuestPollers(_settings.AnswersInline, _loggers.CreateLogger<GuestPollers>());
        _current = await LaunchAsync(session, cancellationToken);
        _supervisor = SuperviseAsync(CommandFor(files), _current);
        LogStarted(_logger, session.Hello.Mode, session.Hello.Cgroup, string.Join(", ", _runtimes.Names));
    }

    public async Task<EngineReport> ProbeAsync(CancellationToken cancellationToken)
    {
        try
        {
            if (_current is { } launcher)
            {
                return NativeHost.Report(Name, launcher.Session.Hello, _runtimes, launcher.Zygotes, _settings);
            }

            var files = NativeFiles.Find(_settings.Options);
            var runtimes = await GuestRuntimes.DiscoverAsync(files.GuestPath, _settings.Options, cancellationToken);
            return NativeHost.Report(Name, await ProbeHostAsync(files, cancellationToken), runtimes, [], _settings);
        }
        catch (Exception exception) when (exception is not OperationCanceledException)
        {
            return new EngineReport(Name, false, exception.Message, [], []);
        }
    }

    public string? BootVariable(string runtime, IReadOnlyDictionary<string, string> environment) => _runtimes.Find(runtime)?.NeedsExec(environment);

    public async Task<ISandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken)
    {
        var runtime = _runtimes.Find(spec.Runtime) ?? throw new EngineException(
            $"Runtime {spec.Runtime} is not on this host; there are: {string.Join(", ", _runtimes.Names)}.");
        if (spec.Network == NetworkAccess.Egress && Capabilities.NoEgress is { } noEgress)
        {
            throw new EngineException($"A sandbox with network access cannot be made: {noEgress}.");
        }

        if (spec.CpuQuotaMilli is { } quota && (quota <= 0 ? "it must be above 0" : Capabilities.NoCpuQuota) is { } noQuota)
        {
            throw new EngineException($"A CPU quota of {quota} thousandths of a core cannot be had: {noQuota}.");
        }

        if (spec.Snapshot && Capabilities.NoSnapshot is { } noSnapshot)
        {
            throw new EngineException($"A snapshot cannot be taken: {noSnapshot}.");
        }

        var codeName = CodeName(spec.CodeDirectory);
        var launcher = _current ?? throw new EngineException(Trouble ?? "The launcher is being restarted.");
        var (cell, reason) = await launcher.TakeAsync(spec, runtime, cancellationToken);
        var environment = runtime.Environment(spec.Environment);
        var forked = cell.Zygote != 0;
        var start = new SandboxStart(forked ? StartMode.Zygote : StartMode.Exec, reason, forked ? environment : null, spec.Snapshot);
        var sandbox = Open(launcher.Session, cell, start);
        try
        {
            launcher.NoteAsker(cell, spec);
            launcher.Session.StartGuest(cell, new GuestStart
            {
                Snapshot = spec.Snapshot,
                MemoryMb = (uint)spec.MemoryMb,
                TmpMb = (uint)spec.TmpMb,
                PidsMax = (uint)spec.MaxProcesses,
                CpuWeight = CpuWeight(spec.MemoryMb),
                CpuQuotaMilli = (uint)(spec.CpuQuotaMilli ?? 0),
                MaxFiles = (uint)spec.MaxOpenFiles,
                CodeName = codeName,
                Arguments = forked ? [] : runtime.Arguments(spec.MemoryMb),
                Environment = forked ? [] : GuestRuntime.Entries(environment),
            });
            return sandbox;
        }
        catch
        {
            await sandbox.DestroyAsync();
            throw;
        }
        finally
        {
            // After START: the launcher does one thing at a time, and this guest is waited for.
            launcher.Stock.Refill();
        }
    }

    public async ValueTask DisposeAsync()
    {
        // The registry disposes its engines, and so does the service container that made them.
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        await _stopping.CancelAsync();
        await _supervisor;
        if (Interlocked.Exchange(ref _current, null) is { } launcher)
        {
            await launcher.DisposeAsync();
        }

        _pollers?.Dispose();
        _stopping.Dispose();
    }

    /// <summary>Lambda gives a full core at 1769 MB and a share in proportion below and above; 100 is cgroup v2's weight of one ordinary process.</summary>
    internal static uint CpuWeight(int memoryMb) => (uint)Math.Clamp(memoryMb * 100L / 1769, 1, 10_000);

    private string CodeName(string codeDirectory) =>
        string.Equals(Path.GetDirectoryName(codeDirectory), _settings.CodeDirectory, StringComparison.Ordinal)
            ? Path.GetFileName(codeDirectory)
            : throw new EngineException($"Code at {codeDirectory} is not a child of {_settings.CodeDirectory}.");

    private async Task<LauncherHello> ProbeHostAsync(NativeFiles files, CancellationToken cancellationToken)
    {
        // The server makes its code directory when it starts; a host is looked at without leaving one behind.
        var code = Directory.CreateTempSubdirectory("flint-probe-");
        try
        {
            File.SetUnixFileMode(code.FullName, (UnixFileMode)Convert.ToInt32("755", 8)); // the launcher insists, since sandboxes read it as other users
            return await LauncherProcess.ProbeAsync(CommandFor(files, code.FullName), cancellationToken);
        }
        finally
        {
            code.Delete();
        }
    }

    private LauncherCommand CommandFor(NativeFiles files, string? codeDirectory = null)
    {
        var options = _settings.Options;
        List<string> arguments =
        [
            "--instance", Guid.NewGuid().ToString("N")[..12],
            "--code", codeDirectory ?? _settings.CodeDirectory,
            "--runtime-dir", files.GuestPath,
            "--cgroup", options.Cgroup,
            "--uid-base", options.UidBase.ToString(System.Globalization.CultureInfo.InvariantCulture),
            "--uid-count", options.UidCount.ToString(System.Globalization.CultureInfo.InvariantCulture),
        ];
        if (options.RootPath.Length > 0)
        {
            arguments.AddRange(["--root", options.RootPath]);
        }

        arguments.AddRange(_settings.Egress.LauncherArguments());
        arguments.AddRange(options.ExtraLauncherArguments);
        return new LauncherCommand(files.LauncherPath, arguments);
    }

    /// <summary>A launcher that enforces what must be; asked of every one, since a host may lose what it had when the one before was started.</summary>
    private async Task<LauncherSession> OpenAsync(LauncherCommand command, CancellationToken cancellationToken)
    {
        var session = await LauncherSession.StartAsync(command, _logger, cancellationToken);
        if (NativeHost.Refusal(session.Hello, _settings.AllowUnenforced) is { } refusal)
        {
            await session.DisposeAsync();
            throw new EngineException(refusal);
        }

        return session;
    }

    private NativeSandbox Open(LauncherSession session, Cell cell, SandboxStart start)
    {
        try
        {
            return new NativeSandbox(session, cell, start, _pollers!, _time);
        }
        catch (IOException exception)
        {
            session.Discard(cell);
            throw new EngineException($"The sandbox's output could not be watched: {exception.Message}", exception);
        }
    }

    private async Task<NativeLauncher> LaunchAsync(LauncherSession session, CancellationToken cancellationToken)
    {
        try
        {
            _capabilities = NativeHost.Capabilities(session.Hello, _runtimes, _settings);
            return await NativeLauncher.StartAsync(session, _runtimes, _settings, _loggers, _time, cancellationToken);
        }
        catch
        {
            await session.DisposeAsync();
            throw;
        }
    }

    private async Task SuperviseAsync(LauncherCommand command, NativeLauncher launcher)
    {
        var delay = FirstRestartDelay;
        while (!_stopping.IsCancellationRequested)
        {
            try
            {
                await launcher.Session.Ended.WaitAsync(_stopping.Token);
                if (Interlocked.CompareExchange(ref _current, null, launcher) == launcher)
                {
                    await launcher.DisposeAsync();
                }

                await Task.Delay(delay, _time, _stopping.Token);
                launcher = await LaunchAsync(await OpenAsync(command, _stopping.Token), _stopping.Token);
                _current = launcher;
                delay = FirstRestartDelay;
            }
            catch (OperationCanceledException) when (_stopping.IsCancellationRequested)
            {
                return;
            }
            catch (Exception exception)
            {
                // Whatever went wrong (a full disk under the control socket, say), without another try the engine would be dead for good.
                delay = delay * 2 < LongestRestartDelay ? delay * 2 : LongestRestartDelay;
                _restartFailure = exception.Message;
                LogRestartFailed(_logger, delay, exception);
            }
        }
    }

    [LoggerMessage(4021, LogLevel.Information, "Native engine started: identity {Mode}, cgroups {Cgroup}, runtimes {Runtimes}")]
    private static partial void LogStarted(ILogger logger, string mode, string cgroup, string runtimes);

    [LoggerMessage(4022, LogLevel.Error, "The launcher could not be restarted; next try in {Delay}")]
    private static partial void LogRestartFailed(ILogger logger, TimeSpan delay, Exception exception);
}
