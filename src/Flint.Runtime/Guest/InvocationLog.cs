namespace Flint.Runtime.Guest;

/// <summary>
/// Collects what one invocation logs: events in order, stamped with the server's clock, capped in bytes with a truncation mark. Thread-safe.
/// </summary>
public sealed class InvocationLog(int maxBytes, TimeProvider time)
{
    /// <summary>A line of the platform's own (START, END, REPORT); never dropped.</summary>
    public void AddPlatform(string text) => throw new NotImplementedException($"{maxBytes} {time}");

    /// <summary>One event of the guest's: one LOG frame.</summary>
    public void AddEvent(LogStream stream, ReadOnlySpan<byte> utf8) => throw new NotImplementedException();

    /// <summary>Raw bytes of a standard stream; cut into lines.</summary>
    public void AddRaw(LogStream stream, ReadOnlySpan<byte> bytes) => throw new NotImplementedException();

    /// <summary>Flushes unfinished raw lines and returns everything; nothing is accepted afterwards.</summary>
    public CapturedLog Complete() => throw new NotImplementedException();
}
