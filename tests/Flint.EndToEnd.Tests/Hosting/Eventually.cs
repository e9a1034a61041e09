using System.Diagnostics;

namespace Flint.EndToEnd.Tests.Hosting;

/// <summary>Waits for what another process does, by looking again and again until a deadline.</summary>
internal static class Eventually
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);

    public static async Task<T> GetAsync<T>(Func<Task<T?>> look, TimeSpan limit, string what)
        where T : class
    {
        var started = Stopwatch.GetTimestamp();
        while (true)
        {
            if (await look() is { } found)
            {
                return found;
            }

            if (Stopwatch.GetElapsedTime(started) > limit)
            {
                throw new TimeoutException($"After {limit.TotalSeconds} s: {what}");
            }

            await Task.Delay(Interval, TimeProvider.System);
        }
    }

    public static Task TrueAsync(Func<bool> look, TimeSpan limit, string what) =>
        GetAsync(() => Task.FromResult(look() ? "" : null), limit, what);

    /// <summary>Waits until there is nothing left; names what is.</summary>
    public static async Task EmptyAsync<T>(Func<IReadOnlyCollection<T>> look, TimeSpan limit, string what)
    {
        try
        {
            await TrueAsync(() => look().Count == 0, limit, what);
        }
        catch (TimeoutException)
        {
            look().ShouldBeEmpty(what);
        }
    }
}
