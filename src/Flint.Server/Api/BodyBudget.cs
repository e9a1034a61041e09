using System.Globalization;
using System.IO.Pipelines;
using Flint.Server.Hosting;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>
/// What request bodies may take together: bytes in memory, before any limit on invocations is asked, and each one's time. Thread-safe.
/// </summary>
internal sealed class BodyBudget(HttpOptions options, TimeProvider time)
{
    private static readonly TimerCallback CancelRead = static reader => ((PipeReader)reader!).CancelPendingRead();

    private readonly long _max = options.MaxBodyBytesInFlight != 0 ? options.MaxBodyBytesInFlight : Default();
    private readonly TimeSpan _timeout = TimeSpan.FromMilliseconds(options.BodyTimeoutMs);
    private long _used;

    public long Used => Interlocked.Read(ref _used);

    /// <summary>Room for more bytes, to be given back. A body that is alone always has it, so that the largest one that is allowed can come at all.</summary>
    /// <param name="bytes">How many more.</param>
    /// <param name="held">What this body has already.</param>
    public bool TryTake(long bytes, long held = 0)
    {
        var used = Interlocked.Add(ref _used, bytes);
        if (used <= _max || used == held + bytes)
        {
            return true;
        }

        Give(bytes);
        return false;
    }

    public RefusedException NoRoom() => new(
        "throttled", "The bodies of the requests that are being served fill the room that there is for them. Try again later.",
        limit: string.Create(CultureInfo.InvariantCulture, $"{_max} bytes"), knob: "Flint:Http:MaxBodyBytesInFlight");

    public void Give(long bytes) => Interlocked.Add(ref _used, -bytes);

    /// <summary>Cancels the reader's pending read when the body's time is over. Only for a body that did not come with its headers.</summary>
    public ITimer Limit(PipeReader reader)
    {
        using (ExecutionContext.SuppressFlow())
        {
            return time.CreateTimer(CancelRead, reader, _timeout, Timeout.InfiniteTimeSpan);
        }
    }

    public RefusedException TooSlow() => new("request_timeout", "The request's body did not come in time.", field: "body",
        limit: string.Create(CultureInfo.InvariantCulture, $"{options.BodyTimeoutMs} ms"), knob: "Flint:Http:BodyTimeoutMs");

    /// <summary>A request that waits for others' bodies waits no longer than one of those may take.</summary>
    public TimeSpan Patience => _timeout;

    private static long Default() => Math.Clamp(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / 16, 64L * 1024 * 1024, 1024L * 1024 * 1024);
}

/// <summary>A request's body in memory. Disposing gives its room back; its bytes must not be held on to then.</summary>
internal readonly struct Body(byte[] bytes, BodyBudget budget) : IDisposable
{
    private readonly byte[]? _bytes = bytes;

    public byte[] Bytes => _bytes ?? [];

    public void Dispose()
    {
        if (_bytes is not null)
        {
            budget.Give(_bytes.Length);
        }
    }
}
