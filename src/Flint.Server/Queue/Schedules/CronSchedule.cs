using Flint.Server.Services;
using Quartz;

namespace Flint.Server.Queue.Schedules;

/// <summary>
/// Due times of a cron expression of five fields in a time zone. Quartz walks the calendar, in wall time; what the zone's clock changes mean is decided here, as Vixie
/// cron does: an expression with a <c>*</c> minute or hour goes by real time, so it neither pauses nor doubles when the clock is set; any other one is due once for each
/// wall time, the first time that the clock shows it, and when the clock jumps over it, at the jump. Immutable.
/// </summary>
internal sealed class CronSchedule
{
    public const int MaxLength = 200;

    /// <summary>Far less than lies between two changes of one zone's clock.</summary>
    private static readonly TimeSpan Stride = TimeSpan.FromHours(12);

    private readonly TimeZoneInfo _zone;
    private readonly bool _goesByRealTime;

    /// <summary>Due when any of them is.</summary>
    private readonly CronExpression[] _alternatives;

    /// <summary>Due on these days of the week only: what Quartz cannot ask beside a day of the month.</summary>
    private readonly CronField? _weekdays;

    private CronSchedule(TimeZoneInfo zone, bool goesByRealTime, CronExpression[] alternatives, CronField? weekdays)
    {
        _zone = zone;
        _goesByRealTime = goesByRealTime;
        _alternatives = alternatives;
        _weekdays = weekdays;
    }

    /// <summary>Throws <see cref="RefusedException"/> for an expression that is not understood or never due, and for an unknown time zone.</summary>
    public static CronSchedule Parse(string expression, string timeZone)
    {
        var zone = Zone(timeZone);
        var fields = expression.Length <= MaxLength
            ? expression.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries)
            : throw new RefusedException("invalid_cron", "The expression is too long.", field: "expression", limit: $"{MaxLength} characters");
        if (fields.Length != 5)
        {
            throw new RefusedException("invalid_cron",
                $"The expression has {fields.Length} fields; cron's are five: minute, hour, day of month, month, day of week. There are no seconds and no names such as @daily.",
                field: "expression", limit: "5 fields");
        }

        var (minute, hour, month) = (CronField.Minute(fields[0]), CronField.Hour(fields[1]), CronField.Month(fields[3]));
        var (day, weekday) = (CronField.DayOfMonth(fields[2]), CronField.DayOfWeek(fields[4]));
        var either = !day.Star && !weekday.Star;
        if (!either && !month.All().Any(m => day.Least <= DateTime.DaysInMonth(2000, m)))
        {
            throw new RefusedException("invalid_cron", "The expression is never due: none of its months has such a day.", field: "expression");
        }

        CronExpression OnDays() => Quartz(minute, hour, List(day, 1, 31), month, "?");
        CronExpression OnWeekdays() => Quartz(minute, hour, "?", month, string.Join(',', weekday.All().Select(d => d + 1)));
        var clock = minute.Star || hour.Star;
        return either ? new CronSchedule(zone, clock, [OnDays(), OnWeekdays()], null)
            : weekday.IsFull(0, 6) ? new CronSchedule(zone, clock, [OnDays()], null)
            : day.IsFull(1, 31) ? new CronSchedule(zone, clock, [OnWeekdays()], null)
            : new CronSchedule(zone, clock, [OnDays()], weekday);
    }

    /// <summary>The zone of an IANA name. Throws <see cref="RefusedException"/>.</summary>
    public static TimeZoneInfo Zone(string name) =>
        name.Length is > 0 and <= 64 && TimeZoneInfo.TryFindSystemTimeZoneById(name, out var zone)
            ? zone
            : throw new RefusedException("invalid_time_zone",
                $"This host knows no time zone '{Packages.EntryNames.Escape(name.Length <= 64 ? name : name[..64])}'; the names are IANA's, such as Europe/Berlin or UTC.",
                field: "timeZone", limit: "IANA time zones");

    /// <summary>The first due time after <paramref name="after"/>; null when there is none within a century.</summary>
    public DateTimeOffset? Next(DateTimeOffset after)
    {
        after = after.ToUniversalTime();
        return _goesByRealTime ? NextByRealTime(after) : NextByWallTime(after);
    }

    private DateTimeOffset? NextByRealTime(DateTimeOffset after)
    {
        var offset = _zone.GetUtcOffset(after);
        var wall = after.UtcDateTime + offset;
        while (NextWall(wall) is { } next)
        {
            var due = new DateTimeOffset(next - offset, TimeSpan.Zero);
            if (FirstChange(after, due) is not { } change)
            {
                return due;
            }

            // The clock is set before: look again from there on, that moment included.
            after = change;
            offset = _zone.GetUtcOffset(change);
            wall = change.UtcDateTime + offset - TimeSpan.FromSeconds(1);
        }

        return null;
    }

    private DateTimeOffset? NextByWallTime(DateTimeOffset after)
    {
        var wall = after.UtcDateTime + _zone.GetUtcOffset(after);
        while (NextWall(wall) is { } next)
        {
            if (FirstShown(next) is var due && due > after)
            {
                return due;
            }

            wall = next;
        }

        return null;
    }

    /// <summary>When the zone's clock shows a time first, or jumps over it.</summary>
    private DateTimeOffset FirstShown(DateTime wall)
    {
        if (_zone.IsInvalidTime(wall))
        {
            var near = new DateTimeOffset(wall, TimeSpan.Zero);
            return FirstChange(near - TimeSpan.FromDays(1.5), near + TimeSpan.FromDays(1.5)) ?? near - _zone.BaseUtcOffset;
        }

        var offset = _zone.IsAmbiguousTime(wall) ? _zone.GetAmbiguousTimeOffsets(wall).Max() : _zone.GetUtcOffset(wall);
        return new DateTimeOffset(wall - offset, TimeSpan.Zero);
    }

    private DateTime? NextWall(DateTime after)
    {
        while (Earliest(after) is { } next)
        {
            if (_weekdays is not { } weekdays || weekdays.Has((int)next.DayOfWeek))
            {
                return next;
            }

            after = next.Date.AddDays(1).AddSeconds(-1);
        }

        return null;
    }

    private DateTime? Earliest(DateTime after)
    {
        DateTime? earliest = null;
        foreach (var alternative in _alternatives)
        {
            if (alternative.GetNextValidTimeAfter(new DateTimeOffset(after, TimeSpan.Zero)) is { } next && !(earliest <= next.DateTime))
            {
                earliest = next.DateTime;
            }
        }

        return earliest;
    }

    /// <summary>The first moment after <paramref name="from"/> and up to <paramref name="to"/> when the zone's clock is set, to the second.</summary>
    private DateTimeOffset? FirstChange(DateTimeOffset from, DateTimeOffset to)
    {
        var offset = _zone.GetUtcOffset(from);
        while (from < to)
        {
            var next = to - from > Stride ? from + Stride : to;
            if (_zone.GetUtcOffset(next) != offset)
            {
                var (before, since) = (from.ToUnixTimeSeconds(), next.ToUnixTimeSeconds());
                while (since - before > 1)
                {
                    var middle = before + ((since - before) / 2);
                    (before, since) = _zone.GetUtcOffset(DateTimeOffset.FromUnixTimeSeconds(middle)) == offset ? (middle, since) : (before, middle);
                }

                return DateTimeOffset.FromUnixTimeSeconds(since);
            }

            from = next;
        }

        return null;
    }

    private static CronExpression Quartz(CronField minute, CronField hour, string day, CronField month, string weekday) =>
        new($"0 {List(minute, 0, 59)} {List(hour, 0, 23)} {day} {List(month, 1, 12)} {weekday}") { TimeZone = TimeZoneInfo.Utc };

    private static string List(CronField field, int min, int max) => field.IsFull(min, max) ? "*" : string.Join(',', field.All());
}
