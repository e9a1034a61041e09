using Flint.Engines.Native.Egress;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>One launcher with what lives and dies with it: its zygotes and the cells made ahead. Thread-safe.</summary>
internal sealed class NativeLauncher : IAsyncDisposable
{
    /// <summary>
    /// How long, from the launcher's start, a request waits for a zygote that boots for the first time, instead of being executed: a boot takes a few times as
    /// long as an execution, and what is executed in that moment stays larger for as long as it is warm.
    /// </summary>
    private static readonly TimeSpan BootPatience = TimeSpan.FromSeconds(1);
    private readonly Dictionary<string, ZygoteKeeper> _keepers;
    private readonly StockUpkeep _upkeep;
    private readonly TimeProvider _time;
    private readonly long _began;
    private readonly string? _noZygotes;
    private DnsForwarder? _names;

    private NativeLauncher(LauncherSession session, GuestRuntimes runtimes, NativeEngineOptions options, ILoggerFactory loggers, TimeProvider time)
    {
        Session = session;
        _time = time;
        _began = time.GetTimestamp();
        _noZygotes = NativeHost.NoZygotes(session.Hello, options);
        var logger = loggers.CreateLogger<ZygoteKeeper>();
        _keepers = _noZygotes is not null
            ? []
            : runtimes.All.Where(static runtime => runtime.ZygoteArguments is not null).ToDictionary(
                static runtime => runtime.Name, runtime => Keeper(runtime, options, logger), StringComparer.Ordinal);
        Stock = new CellStock(new CellSource(Make, CanMake, session.Discard), options.ReadySandboxes, time);
        _upkeep = new StockUpkeep(Stock, time, loggers.CreateLogger<StockUpkeep>());
    }

    public LauncherSession Session { get; }

    public CellStock Stock { get; }

    public DnsAskers Askers { get; } = new();

    public IReadOnlyCollection<ZygoteKeeper> Zygotes => _keepers.Values;

    /// <summary>Takes over the session, also when it fails. The zygotes boot side by side in the background.</summary>
    public static async Task<NativeLauncher> StartAsync(
        LauncherSession session, GuestRuntimes runtimes, NativeEngineSettings settings, ILoggerFactory loggers, TimeProvider time, CancellationToken cancellationToken)
    {
        var launcher = new NativeLauncher(session, runtimes, settings.Options, loggers, time);
        try
        {
            await launcher.ServeNamesAsync(settings.Egress, loggers, cancellationToken);
            foreach (var keeper in launcher._keepers.Values)
            {
                await keeper.StartAsync(cancellationToken);
            }

            await launcher._upkeep.StartAsync(cancellationToken);
            return launcher;
        }
        catch
        {
            await launcher.DisposeAsync();
            throw;
        }
    }

    /// <summary>A cell for the spec; forked where that was asked for and can be, else the reason why not. Throws <see cref="EngineException"/>, and <see cref="SnapshotUnsafeException"/> for what the function itself rules out.</summary>
    public async ValueTask<(Cell Cell, string? Reason)> TakeAsync(SandboxSpec spec, GuestRuntime runtime, CancellationToken cancellationToken)
    {
        try
        {
            string? reason = null;
            if (spec.Start == StartMode.Zygote)
            {
                (var forked, reason) = await TakeForkedAsync(spec, runtime, cancellationToken);
                if (forked is not null)
                {
                    return (forked, null);
                }
            }

            if (spec.Snapshot)
            {
                throw new EngineException($"A snapshot can only be taken of a forked sandbox: {reason ?? "this function's start is exec"}.");
            }

            return ((await Stock.TakeAsync(new CellKind(spec.TenantId, null, spec.Network), cancellationToken))!, reason);
        }
        catch (CellFailedException exception)
        {
            throw new EngineException(exception.Message, exception);
        }
    }

    /// <summary>Says whose the DNS questions of this cell are, until it is gone. Before its START.</summary>
    public void NoteAsker(Cell cell, SandboxSpec spec)
    {
        if (cell.Address is { } address)
        {
            // The spec names no function; those of one tenant that run the same code count as one.
            Askers.Add(address, $"{spec.TenantId}/{spec.CodeDirectory}");
            cell.WhenGone = () => Askers.Remove(address);
            if (cell.Gone.IsCompleted)
            {
                Askers.Remove(address);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        // Aborted, not waited for: a zygote that boots dies with the launcher.
        var now = new CancellationToken(canceled: true);
        await Task.WhenAll([_upkeep.StopAsync(now), .. _keepers.Values.Select(keeper => keeper.StopAsync(now))]);
        Stock.Dispose();
        if (_names is not null)
        {
            await _names.DisposeAsync();
        }

        await Session.DisposeAsync();
        _upkeep.Dispose();
        foreach (var keeper in _keepers.Values)
        {
            keeper.Dispose();
        }
    }

    private async Task ServeNamesAsync(EgressOptions options, ILoggerFactory loggers, CancellationToken cancellationToken)
    {
        if (Session.Hello.Egress && await Session.DnsSockets.WaitAsync(cancellationToken) is { } sockets)
        {
            _names = new DnsForwarder(sockets.Udp, sockets.Tcp, DnsResolvers.From(options, _time), Askers, _time, loggers.CreateLogger<DnsForwarder>());
        }
    }

    private async ValueTask<(Cell? Cell, string? Reason)> TakeForkedAsync(SandboxSpec spec, GuestRuntime runtime, CancellationToken cancellationToken)
    {
        if (_noZygotes is not null)
        {
            return (null, _noZygotes);
        }

        if (!_keepers.TryGetValue(runtime.Name, out var keeper))
        {
            return (null, $"{runtime.Name} has no zygote");
        }

        if (runtime.NeedsExec(spec.Environment) is { } variable)
        {
            var reason = $"the environment variable {variable} is read when the interpreter starts";
            return spec.Snapshot ? throw new SnapshotUnsafeException([$"{reason}, which is before anything is forked"])
            {
                Advice = "Leave the variable out, or use freshness warm or fresh.",
            } : (null, reason);
        }

        await FirstBootAsync(keeper, spec.Snapshot, cancellationToken);
        var kind = new CellKind(spec.TenantId, runtime.Name, spec.Network);
        while (true)
        {
            try
            {
                var cell = await Stock.TakeAsync(kind, cancellationToken);
                return (cell, cell is null ? $"the zygote of {runtime.Name} does not run: {keeper.Trouble}" : null);
            }
            catch (CellFailedException exception) when (exception.Failure.OfZygote)
            {
                // One that was just replaced has a successor, which is asked; anything else must not hold up the request.
                if (keeper.Current is not { } current || current.Id == exception.Zygote)
                {
                    return (null, $"the zygote of {runtime.Name} could not fork: {exception.Failure.Message}");
                }
            }
        }
    }

    private async ValueTask FirstBootAsync(ZygoteKeeper keeper, bool needed, CancellationToken cancellationToken)
    {
        var patience = BootPatience - _time.GetElapsedTime(_began);
        if (keeper.FirstBoot.IsCompleted || (!needed && patience <= TimeSpan.Zero))
        {
            return;
        }

        try
        {
            // A keeper that is stopped with its launcher has no first boot.
            await Task.WhenAny(keeper.FirstBoot, Session.Ended).WaitAsync(needed ? Timeout.InfiniteTimeSpan : patience, _time, cancellationToken);
        }
        catch (TimeoutException)
        {
            // Executed then, with the keeper's reason.
        }
    }

    private ZygoteKeeper Keeper(GuestRuntime runtime, NativeEngineOptions options, ILogger logger)
    {
        var environment = runtime.ZygoteEnvironment(options.ZygoteLibrary);
        var source = new ZygoteSource(() => Session.StartZygote(runtime.ZygoteArguments!, environment), Session.Retire);
        return new ZygoteKeeper(
            runtime.Name, source, TimeSpan.FromMilliseconds(options.ZygoteLifetimeMs), keeper => Stock.Retry(keeper.Runtime), _time, logger);
    }

    private bool CanMake(CellKind kind) => kind.Zygote is null || _keepers[kind.Zygote].Current is not null;

    private void Make(CellKind kind, Action<Cell> settled) =>
        Session.MakeCell(kind, kind.Zygote is null ? null : _keepers[kind.Zygote].Current, settled);
}
