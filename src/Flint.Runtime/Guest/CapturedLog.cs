namespace Flint.Runtime.Guest;

public enum LogStream : byte { Stdout = 1, Stderr = 2, Platform = 3 }

/// <summary>One line that the guest wrote, or the platform wrote about it. Text is hostile; the time is the server's own.</summary>
public readonly record struct LogLine(DateTimeOffset Time, LogStream Stream, string Text);

/// <summary>What an invocation logged, in order, capped.</summary>
/// <param name="Lines">Platform lines are never dropped.</param>
/// <param name="DroppedLines">Guest lines beyond the cap; a truncation mark stands where they began.</param>
/// <param name="DroppedBytes">UTF-8 bytes of the dropped lines.</param>
public sealed record CapturedLog(IReadOnlyList<LogLine> Lines, long DroppedLines, long DroppedBytes)
{
    public static CapturedLog Empty { get; } = new([], 0, 0);
}
