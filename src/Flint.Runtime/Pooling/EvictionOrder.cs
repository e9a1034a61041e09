namespace Flint.Runtime.Pooling;

/// <summary>An idle sandbox that could be destroyed to make room.</summary>
/// <param name="IdleFor">Since its last invocation.</param>
/// <param name="LastOfItsPool">Its function would have no warm sandbox left.</param>
internal readonly record struct EvictionCandidate(TimeSpan IdleFor, int MemoryMb, bool LastOfItsPool);

/// <summary>What room is needed for.</summary>
internal enum EvictionReason
{
    /// <summary>Too many sandboxes: each frees one place, so only use counts.</summary>
    Count,
    /// <summary>Too much memory: a large one that is not used frees the most.</summary>
    Memory,
}

/// <summary>Which idle sandbox dies first. Pure.</summary>
internal static class EvictionOrder
{
    /// <summary>
    /// Negative when <paramref name="a"/> goes first: surplus sandboxes before the last one of a function (losing that makes its next call cold
    /// for certain), then the longest idle; for memory, the largest product of size and idle time.
    /// </summary>
    public static int Compare(EvictionCandidate a, EvictionCandidate b, EvictionReason reason)
    {
        if (a.LastOfItsPool != b.LastOfItsPool)
        {
            return a.LastOfItsPool ? 1 : -1;
        }
        var byWeight = reason == EvictionReason.Memory ? Weight(b).CompareTo(Weight(a)) : 0;
        return byWeight != 0 ? byWeight : b.IdleFor.CompareTo(a.IdleFor);
    }

    private static double Weight(EvictionCandidate candidate) => candidate.MemoryMb * candidate.IdleFor.TotalMilliseconds;
}
