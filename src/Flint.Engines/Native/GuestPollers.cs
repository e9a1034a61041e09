using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>
/// The threads that watch what comes from guests: one for the raw stdout and stderr of all, so that a guest never blocks on a full pipe while somebody listens,
/// and some for their channels. A pipe nobody listens to stays unread: its own size bounds it. Thread-safe.
/// </summary>
internal sealed partial class GuestPollers : IDisposable
{
    private readonly ILogger<GuestPollers> _logger;
    private readonly Poller[] _channels;
    private uint _turn;

    /// <param name="answersInline">See <see cref="NativeEngineSettings.AnswersInline"/>.</param>
    /// <param name="logger">Hears of pipes that break.</param>
    public GuestPollers(bool answersInline, ILogger<GuestPollers> logger)
    {
        AnswersInline = answersInline;
        _logger = logger;
        Outputs = new Poller("flint-raw-output");
        // What follows an answer may run on them, so there are as many as the processors can have use for beside those that serve requests.
        _channels = [.. Enumerable.Range(0, Math.Max(1, Environment.ProcessorCount / 2)).Select(static _ => new Poller("flint-answers"))];
    }

    public bool AnswersInline { get; }

    public Poller Outputs { get; }

    /// <summary>The one for another channel.</summary>
    public Poller NextForChannel() => _channels[Interlocked.Increment(ref _turn) % (uint)_channels.Length];

    public void OnBroken(IOException exception) => LogPipeFailed(_logger, exception);

    public void Dispose()
    {
        Outputs.Dispose();
        foreach (var poller in _channels)
        {
            poller.Dispose();
        }
    }

    [LoggerMessage(4101, LogLevel.Warning, "A sandbox's output pipe could not be read; its raw output is lost from here on")]
    private static partial void LogPipeFailed(ILogger logger, Exception exception);
}
