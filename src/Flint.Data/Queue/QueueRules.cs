using System.Text;
using Flint.Data.Invocations;

namespace Flint.Data.Queue;

/// <summary>What every queue store holds entries and settlements to, and writes of ends that no worker saw.</summary>
internal static class QueueRules
{
    public const string Expired = "Expired";
    public const string SandboxLost = "SandboxLost";
    public const string Cancelled = "Cancelled";

    // A claim holds what it brings in memory.
    public const long ClaimBytes = 64L << 20;

    private static readonly string[] Ends = ["COMPLETED", "FAILED", "CANCELLED"];

    /// <summary>The error of an item whose time to live ended while it waited.</summary>
    public const string ExpiredJson = """{"type":"Expired","name":"Expired","message":"Its time to live was over before it could begin.","stackTrace":[]}""";

    /// <summary>The error of an item that somebody cancelled.</summary>
    public const string CancelledJson = """{"type":"Cancelled","name":"Cancelled","message":"It was cancelled.","stackTrace":[]}""";

    /// <summary>The error of an item that lost its worker too often.</summary>
    public static string SandboxLostJson(int losses) =>
        $$"""{"type":"SandboxLost","name":"SandboxLost","message":"Its worker was lost {{losses}} times while it ran.","stackTrace":[]}""";

    /// <summary>The entry as it is stored, its texts cleaned. Throws <see cref="ArgumentException"/> for what breaks the ranges of <see cref="QueueEntry"/>.</summary>
    public static QueueEntry Storable(QueueEntry entry)
    {
        Check(entry.Row.Status == "PENDING", "An entry's status must be PENDING.");
        Check(entry.Lane.Length is >= 1 and <= 300, "A lane must have 1 to 300 characters.");
        Check(entry.Priority is >= -100 and <= 100, "Priority must be -100 to 100.");
        Check(entry.Delay >= TimeSpan.Zero, "A delay must not be negative.");
        Check(entry.TimeToLive is null || entry.TimeToLive > TimeSpan.Zero, "A time to live must be positive.");
        Check(entry.IdempotencyKey is null or { Length: >= 1 and <= 255 }, "An idempotency key must have 1 to 255 characters.");
        Check(entry.IdempotencyKey is null || entry.Fingerprint is { Length: > 0 }, "An idempotency key needs a fingerprint.");
        Check(entry.Tags.Count <= 20 && entry.Tags.All(tag => tag.Length <= 100), "There may be 20 tags of 100 characters.");
        Check(entry.Limits);
        var row = InvocationRules.Storable(entry.Row);
        return IsClean(entry) && ReferenceEquals(row, entry.Row) ? entry : entry with
        {
            Row = row,
            WorkJson = StorableText.Clean(entry.WorkJson)!,
            Lane = StorableText.Clean(entry.Lane)!,
            IdempotencyKey = StorableText.Clean(entry.IdempotencyKey),
            Tags = [.. entry.Tags.Select(tag => StorableText.Clean(tag)!).Distinct(StringComparer.Ordinal)],
        };
    }

    /// <summary>The settlement as it is stored, its texts and entries cleaned. Throws <see cref="ArgumentException"/> for one that could not be.</summary>
    public static Settlement Storable(Settlement settlement)
    {
        if (settlement is Settlement.Retry retry)
        {
            Check(retry.Delay >= TimeSpan.Zero, "A delay must not be negative.");
            return StorableText.Clean(retry.AttemptsJson) is var attempts && ReferenceEquals(attempts, retry.AttemptsJson) ? retry : retry with { AttemptsJson = attempts };
        }

        if (settlement is not Settlement.Finished finished)
        {
            return settlement;
        }

        Check(Ends.AsSpan().Contains(finished.Row.Status), "What is finished is COMPLETED, FAILED or CANCELLED.");
        return finished with
        {
            Row = InvocationRules.Storable(finished.Row),
            AttemptsJson = StorableText.Clean(finished.AttemptsJson),
            Then = finished.Then.Count == 0 ? finished.Then : [.. finished.Then.Select(Storable)],
            DeadLetterList = StorableText.Clean(finished.DeadLetterList),
        };
    }

    /// <summary>Throws <see cref="ArgumentException"/> for limits that mean nothing.</summary>
    public static void Check(LaneLimits? limits)
    {
        Check(limits?.MaxRunning is null or >= 1, "A lane must be allowed to run one item at least.");
        Check(limits?.Rate is null or { Starts: >= 1, Period.Ticks: >= TimeSpan.TicksPerMillisecond }, "A rate needs one start at least, and a period of a millisecond.");
        Check(limits?.Rate is null || limits.Rate.Period <= TimeSpan.FromDays(31), "A rate's period must be a month at most.");
    }

    public static void Check(ClaimRequest request) => Check(request.Places is >= 1 and <= 1000, "A claim is for 1 to 1000 places.");

    /// <summary>What an entry takes in the cold tables, in bytes: what retention's limit counts.</summary>
    public static long DataBytes(QueueEntry entry) => InvocationRules.DataBytes(entry.Row) + (entry.Source?.Length ?? 0) + Encoding.UTF8.GetByteCount(entry.WorkJson);

    private static bool IsClean(QueueEntry entry) =>
        StorableText.Is(entry.WorkJson) && StorableText.Is(entry.Lane) && (entry.IdempotencyKey is null || StorableText.Is(entry.IdempotencyKey))
        && entry.Tags.All(StorableText.Is) && (entry.Tags.Count < 2 || entry.Tags.Distinct(StringComparer.Ordinal).Count() == entry.Tags.Count);

    private static void Check(bool holds, string message)
    {
        if (!holds)
        {
            throw new ArgumentException(message);
        }
    }
}
