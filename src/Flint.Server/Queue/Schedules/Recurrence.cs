using System.Globalization;
using Flint.Data.Model;
using Flint.Server.Services;

namespace Flint.Server.Queue.Schedules;

/// <summary>The due times of a schedule, by cron or by a fixed rate. Immutable.</summary>
internal sealed class Recurrence
{
    public const long MaxRateMs = 366L * 24 * 60 * 60 * 1000;

    private readonly CronSchedule? _cron;
    private readonly TimeSpan _rate;
    private readonly DateTimeOffset _anchor;

    /// <param name="expression">Cron's five fields, or null.</param>
    /// <param name="rateMs">Every so many milliseconds, or null; exactly one is given.</param>
    /// <param name="timeZone">The expression's.</param>
    /// <param name="anchor">A due time of the rate.</param>
    public Recurrence(string? expression, long? rateMs, string timeZone, DateTimeOffset anchor)
    {
        _cron = expression is null ? null : CronSchedule.Parse(expression, timeZone);
        _rate = TimeSpan.FromMilliseconds(rateMs ?? 0);
        _anchor = anchor;
    }

    /// <summary>A stored schedule's. Its rate goes on from the due time that is stored; from now on when there is none.</summary>
    public static Recurrence Of(ScheduleEntity schedule, DateTimeOffset now) => new(schedule.Expression, schedule.RateMs, schedule.TimeZone, schedule.NextAt ?? now);

    /// <summary>The first due time after <paramref name="after"/>; null when there is none within a century.</summary>
    public DateTimeOffset? Next(DateTimeOffset after)
    {
        if (_cron is not null)
        {
            return _cron.Next(after);
        }

        var (ticks, rate) = ((after - _anchor).Ticks, _rate.Ticks);
        var passed = ticks >= 0 ? ticks / rate : -((rate - 1 - ticks) / rate);
        return _anchor + ((passed + 1) * _rate);
    }

    /// <summary>The latest due times from <paramref name="first"/>, which is one, up to <paramref name="now"/>: at most <paramref name="most"/>, in order.</summary>
    public IReadOnlyList<DateTimeOffset> Latest(DateTimeOffset first, DateTimeOffset now, int most)
    {
        // Years of minutes may have gone by: looked for from the end, in windows that grow until one has enough.
        for (var window = TimeSpan.FromMinutes(most); ; window *= 8)
        {
            var from = now - first <= window ? first : Next(now - window);
            var due = new List<DateTimeOffset>();
            for (; from <= now; from = Next(from.Value))
            {
                due.Add(from.Value);
            }

            if (due.Count >= most || now - first <= window)
            {
                return due.Count <= most ? due : due[^most..];
            }
        }
    }

    public static long CheckRate(long rateMs, int min) =>
        rateMs >= min && rateMs <= MaxRateMs
            ? rateMs
            : throw new RefusedException("out_of_range", string.Create(CultureInfo.InvariantCulture, $"rateMs is {rateMs}; it must be {min} to {MaxRateMs}."),
                field: "rateMs", limit: string.Create(CultureInfo.InvariantCulture, $"{min} to {MaxRateMs}"), knob: "Flint:Schedules:MinRateMs");
}
