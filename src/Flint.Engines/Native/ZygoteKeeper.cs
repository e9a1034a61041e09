using Flint.Runtime.Loops;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>How a keeper makes and ends zygotes.</summary>
/// <param name="Start">Asks for one.</param>
/// <param name="Retire">Lets one end; its guests live on.</param>
internal sealed record ZygoteSource(Func<Zygote> Start, Action<Zygote> Retire);

/// <summary>
/// Keeps one zygote of one runtime running under one launcher: starts it, starts another when it ends (with backoff), and replaces it when it is old, since all its
/// guests share its address-space layout. The new one is ready before the old one is retired. Thread-safe.
/// </summary>
internal sealed partial class ZygoteKeeper : BackgroundLoop
{
    private static readonly TimeSpan BootLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan FirstDelay = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(30);
    /// <summary>One that lived this long was not broken from the start: what ended it gets a quick restart again.</summary>
    private static readonly TimeSpan Healthy = TimeSpan.FromSeconds(30);

    private readonly ZygoteSource _source;
    private readonly TimeSpan _lifetime;
    private readonly Action<ZygoteKeeper> _onReady;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource _firstBoot = new(TaskCreationOptions.RunContinuationsAsynchronously);

    // Written by the loop only.
    private volatile Zygote? _current;
    private volatile string? _trouble = "it is starting";
    private long _bootedAt;
    /// <summary>When the last failure was; null once a boot has succeeded since.</summary>
    private long? _failedAt;
    /// <summary>The last backoff; it shrinks only when a zygote lives.</summary>
    private TimeSpan _delay;

    /// <param name="runtime">The runtime's name.</param>
    /// <param name="source">The launcher.</param>
    /// <param name="lifetime">After which it is replaced.</param>
    /// <param name="onReady">Called by the loop whenever a new zygote has taken over.</param>
    /// <param name="time">Drives lifetime, backoff and patience.</param>
    /// <param name="logger">Hears of every change, once.</param>
    public ZygoteKeeper(
        string runtime, ZygoteSource source, TimeSpan lifetime, Action<ZygoteKeeper> onReady, TimeProvider time, ILogger logger)
        : base($"zygote-{runtime}", Timeout.InfiniteTimeSpan, time, logger)
    {
        Runtime = runtime;
        _source = source;
        _lifetime = lifetime;
        _onReady = onReady;
        _logger = logger;
    }

    public string Runtime { get; }

    /// <summary>The zygote that forks now; null when there is none.</summary>
    public Zygote? Current => _current is { IsReady: true } zygote ? zygote : null;

    /// <summary>Why there is none, or null.</summary>
    public string? Trouble => Current is not null ? null : _trouble ?? "it has just ended";

    /// <summary>Completes when the first one is ready or has failed.</summary>
    public Task FirstBoot => _firstBoot.Task;

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        if (_current is { Gone.IsCompleted: true } dead)
        {
            _current = null;
            Fail($"it ended ({await dead.Gone})", bootedFor: Time.GetElapsedTime(_bootedAt));
        }

        var wait = WaitBeforeBoot();
        if (wait <= TimeSpan.Zero)
        {
            await BootAsync(cancellationToken);
            wait = WaitBeforeBoot();
        }

        return new LoopRun(1, wait > TimeSpan.Zero ? wait : TimeSpan.FromMilliseconds(1));
    }

    /// <summary>Until the next one is to be started: the backoff while there is none, the rest of the present one's life otherwise.</summary>
    private TimeSpan WaitBeforeBoot()
    {
        var backoff = _failedAt is { } failed ? _delay - Time.GetElapsedTime(failed) : TimeSpan.Zero;
        var life = _current is null ? TimeSpan.Zero : _lifetime - Time.GetElapsedTime(_bootedAt);
        return backoff > life ? backoff : life;
    }

    private async Task BootAsync(CancellationToken cancellationToken)
    {
        var zygote = _source.Start();
        _ = zygote.Gone.ContinueWith(
            static (_, state) => ((ZygoteKeeper)state!).Wake(), this, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        bool booted;
        try
        {
            booted = await zygote.Booted.WaitAsync(BootLimit, Time, cancellationToken);
        }
        catch (TimeoutException)
        {
            _source.Retire(zygote);
            Fail($"it was not ready within {BootLimit.TotalSeconds} s", TimeSpan.Zero);
            return;
        }

        if (!booted)
        {
            Fail($"it ended while it was starting ({await zygote.Gone})", TimeSpan.Zero);
            return;
        }

        var old = _current;
        _bootedAt = Time.GetTimestamp();
        _failedAt = null;
        _current = zygote;
        if (old is null)
        {
            LogUp(_logger, Runtime, zygote.Id);
        }
        else
        {
            _source.Retire(old);
            LogReplaced(_logger, Runtime, zygote.Id);
        }

        _trouble = null;
        _firstBoot.TrySetResult();
        _onReady(this);
    }

    private void Fail(string reason, TimeSpan bootedFor)
    {
        _delay = _delay == TimeSpan.Zero || bootedFor >= Healthy ? FirstDelay : _delay * 2 < LongestDelay ? _delay * 2 : LongestDelay;
        _failedAt = Time.GetTimestamp();
        // An old one that could not be replaced yet goes on forking.
        if (reason != _trouble)
        {
            _trouble = reason;
            LogDown(_logger, Runtime, reason, _current is null ? "sandboxes are executed until it runs again" : "the one before goes on");
        }

        _firstBoot.TrySetResult();
    }

    [LoggerMessage(4041, LogLevel.Information, "The zygote of {Runtime} is up (number {Zygote})")]
    private static partial void LogUp(ILogger logger, string runtime, uint zygote);

    [LoggerMessage(4042, LogLevel.Information, "The zygote of {Runtime} was replaced by a new one (number {Zygote})")]
    private static partial void LogReplaced(ILogger logger, string runtime, uint zygote);

    [LoggerMessage(4043, LogLevel.Warning, "The zygote of {Runtime} does not run: {Reason}; {Consequence}")]
    private static partial void LogDown(ILogger logger, string runtime, string reason, string consequence);
}
