namespace Flint.Data.Invocations;

/// <summary>Where retention draws its lines for one tenant. A row goes when its id is below <see cref="Counted"/>, or when it ended before <see cref="Age"/>.</summary>
internal readonly record struct PruneBounds(Guid Counted, DateTimeOffset Age, Guid Below)
{
    /// <summary><paramref name="oldestKept"/>: the oldest id within the count, or null when there are not that many.</summary>
    public static PruneBounds From(Retention retention, DateTimeOffset now, Guid? oldestKept)
    {
        var counted = retention.MaxCount is <= 0 ? Guid.AllBitsSet : oldestKept ?? Guid.Empty;
        if (retention.MaxAge is not { } maxAge || maxAge >= now - DateTimeOffset.UnixEpoch)
        {
            return new PruneBounds(counted, DateTimeOffset.UnixEpoch, counted);
        }

        var age = now - maxAge;
        var oldest = InvocationId.Above(age);
        return new PruneBounds(counted, age, counted > oldest ? counted : oldest);
    }

    /// <summary>True when retention counts, so that the oldest kept id must be looked up.</summary>
    public static bool Counts(Retention retention) => retention.MaxCount is > 0;
}
