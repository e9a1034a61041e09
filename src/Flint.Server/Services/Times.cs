namespace Flint.Server.Services;

/// <summary>Times as the stores keep them, so that what was just written and what is read later agree.</summary>
internal static class Times
{
    /// <summary>Now, in whole milliseconds of UTC.</summary>
    public static DateTimeOffset Now(this TimeProvider time) => ToMilliseconds(time.GetUtcNow());

    public static DateTimeOffset ToMilliseconds(DateTimeOffset time) => new(time.UtcTicks - (time.UtcTicks % TimeSpan.TicksPerMillisecond), TimeSpan.Zero);
}
