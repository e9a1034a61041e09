using Flint.Runtime.Invocation;

namespace Flint.Server.Queue.Workers;

/// <summary>What is known when an attempt has failed.</summary>
/// <param name="Rules">The item's own.</param>
/// <param name="Fault">Why it failed.</param>
/// <param name="Attempt">Its number; the first is 1.</param>
/// <param name="Losses">How often the item was lost before this attempt: by a lease that ran out, or with its sandbox.</param>
/// <param name="Refusals">How often this attempt was put off before.</param>
/// <param name="Age">Since creation.</param>
internal readonly record struct FailedAttempt(RetryRules Rules, FaultType Fault, int Attempt, int Losses, int Refusals, TimeSpan Age);

/// <summary>What follows from a failed attempt.</summary>
/// <param name="Again">False: it was the last one.</param>
/// <param name="Delay">Before the next.</param>
/// <param name="Counts">False: it was put off, and its number is used again.</param>
internal readonly record struct RetryVerdict(bool Again, TimeSpan Delay, bool Counts);

/// <summary>When an attempt that failed is followed by another, and how long after. Pure.</summary>
internal static class RetryPolicy
{
    /// <summary>A lost run may have been lost because of what it does: the third time is the last.</summary>
    public const int MaxLosses = 3;

    /// <summary>Between two tries of what was put off, at first and at most: Lambda's for throttled events.</summary>
    private static readonly TimeSpan FirstRefusal = TimeSpan.FromSeconds(1), LongestRefusal = TimeSpan.FromMinutes(5);

    public static RetryVerdict Decide(FailedAttempt failed, Random random)
    {
        var verdict = failed.Fault switch
        {
            FaultType.Throttled or FaultType.EngineUnavailable => new RetryVerdict(true, RefusalDelay(failed.Refusals, random), false),
            FaultType.SandboxLost => new RetryVerdict(failed.Losses + 1 < MaxLosses, Backoff(failed.Rules, failed.Attempt, random), true),
            _ when failed.Fault.Owner() == FaultOwner.Function => new RetryVerdict(failed.Attempt <= failed.Rules.Retries, Backoff(failed.Rules, failed.Attempt, random), true),
            // What the caller did wrong stays wrong.
            _ => default,
        };
        var tooOld = failed.Age + verdict.Delay >= TimeSpan.FromMilliseconds(failed.Rules.MaxAgeMs);
        return verdict.Again && !tooOld ? verdict : new RetryVerdict(false, TimeSpan.Zero, true);
    }

    /// <summary>The wait after the attempt of this number.</summary>
    public static TimeSpan Backoff(RetryRules rules, int attempt, Random random)
    {
        var delay = rules.Backoff == "fixed" ? rules.DelayMs : Doubled(rules.DelayMs, attempt - 1);
        delay = Math.Min(delay, rules.MaxDelayMs);
        return TimeSpan.FromMilliseconds(rules.Jitter ? random.NextDouble() * delay : delay);
    }

    /// <summary>At least half of the rule's, whatever is drawn: what was refused a moment ago would be refused again.</summary>
    private static TimeSpan RefusalDelay(int refusals, Random random)
    {
        var delay = Math.Min(Doubled(FirstRefusal.TotalMilliseconds, refusals), LongestRefusal.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(delay * (1 + random.NextDouble()) / 2);
    }

    private static double Doubled(double first, int times) => first * Math.Pow(2, Math.Min(times, 40));
}
