using System.Globalization;
using Flint.Server.Queue.Schedules;
using Flint.Server.Services;

namespace Flint.Server.Tests.Queue;

public sealed class CronScheduleTests
{
    [Theory]
    // Every field's limits.
    [InlineData("0 0 1 1 *", "2026-03-01 12:00", "2027-01-01 00:00", "2028-01-01 00:00")]
    [InlineData("59 23 31 12 *", "2026-03-01 12:00", "2026-12-31 23:59", "2027-12-31 23:59")]
    [InlineData("* * * * *", "2026-03-01 12:00", "2026-03-01 12:01", "2026-03-01 12:02")]
    // Steps, ranges, lists and names.
    [InlineData("*/25 * * * *", "2026-03-01 12:00", "2026-03-01 12:25", "2026-03-01 12:50", "2026-03-01 13:00")]
    [InlineData("10-40/15 8 * * *", "2026-03-01 12:00", "2026-03-02 08:10", "2026-03-02 08:25", "2026-03-02 08:40", "2026-03-03 08:10")]
    [InlineData("0 0-23/12 * * *", "2026-03-01 12:00", "2026-03-02 00:00", "2026-03-02 12:00")]
    [InlineData("5,1,3 0 * * *", "2026-03-01 12:00", "2026-03-02 00:01", "2026-03-02 00:03", "2026-03-02 00:05")]
    [InlineData("0 9-17/4,20 * * MON-fri", "2026-03-06 13:00", "2026-03-06 17:00", "2026-03-06 20:00", "2026-03-09 09:00")]
    [InlineData("0 0 1 jan,JUL *", "2026-03-01 12:00", "2026-07-01 00:00", "2027-01-01 00:00")]
    [InlineData("0 0 * * 0", "2026-03-02 00:00", "2026-03-08 00:00", "2026-03-15 00:00")]
    [InlineData("0 0 * * 7", "2026-03-02 00:00", "2026-03-08 00:00", "2026-03-15 00:00")]
    [InlineData("0 0 * * sat-7", "2026-03-02 00:00", "2026-03-07 00:00", "2026-03-08 00:00", "2026-03-14 00:00")]
    [InlineData("0 0 * * */3", "2026-03-02 00:00", "2026-03-04 00:00", "2026-03-07 00:00", "2026-03-08 00:00")]
    [InlineData("0 12 1-31/30 * *", "2026-03-01 12:00", "2026-03-31 12:00", "2026-04-01 12:00", "2026-05-01 12:00", "2026-05-31 12:00")]
    [InlineData("0 0 1-JUL 7 *", null)]
    // Months without the day are passed over.
    [InlineData("0 0 31 * *", "2026-03-01 12:00", "2026-03-31 00:00", "2026-05-31 00:00", "2026-07-31 00:00")]
    [InlineData("0 0 30 */2 *", "2026-03-01 12:00", "2026-03-30 00:00", "2026-05-30 00:00")]
    [InlineData("0 0 30 1,2 *", "2026-02-01 12:00", "2027-01-30 00:00", "2028-01-30 00:00")]
    [InlineData("0 0 29 2 *", "2026-03-01 12:00", "2028-02-29 00:00", "2032-02-29 00:00")]
    [InlineData("0 0 29 2 *", "2096-03-01 12:00", "2104-02-29 00:00")]
    [InlineData("*/30 0 29 2 *", "2026-03-01 12:00", "2028-02-29 00:00", "2028-02-29 00:30", "2032-02-29 00:00")]
    // Both day fields: either is enough, unless one begins with a star.
    [InlineData("0 0 13 * FRI", "2026-03-01 12:00", "2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00", "2026-03-27 00:00", "2026-04-03 00:00", "2026-04-10 00:00", "2026-04-13 00:00")]
    [InlineData("0 0 30 2 MON", "2026-02-20 00:00", "2026-02-23 00:00", "2027-02-01 00:00")]
    [InlineData("0 0 1-31 * MON", "2026-03-01 12:00", "2026-03-02 00:00", "2026-03-03 00:00")]
    [InlineData("0 0 */10 * MON", "2026-03-01 12:00", "2026-05-11 00:00", "2026-06-01 00:00", "2026-08-31 00:00")]
    [InlineData("0 0 29 2 */3", "2026-03-01 12:00", "2032-02-29 00:00")]
    public void Due_times_in_utc(string expression, string? after, params string[] expected) => Check(expression, "UTC", after, expected);

    [Theory]
    // The clock goes from 02:00 to 03:00 on 29 March 2026, 01:00 UTC, and from 03:00 to 02:00 on 25 October, 01:00 UTC.
    [InlineData("30 2 * * *", "2026-03-28 12:00", "2026-03-29 01:00", "2026-03-30 00:30")]
    [InlineData("15,45 2 * * *", "2026-03-28 12:00", "2026-03-29 01:00", "2026-03-30 00:15")]
    [InlineData("0 3 * * *", "2026-03-28 12:00", "2026-03-29 01:00", "2026-03-30 01:00")]
    [InlineData("30 2 * * *", "2026-10-24 12:00", "2026-10-25 00:30", "2026-10-26 01:30")]
    [InlineData("0,30 2 * * *", "2026-10-24 12:00", "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-26 01:00")]
    [InlineData("30 2 * * *", "2026-10-25 01:10", "2026-10-26 01:30")]
    [InlineData("0 0 * * *", "2026-10-24 12:00", "2026-10-24 22:00", "2026-10-25 23:00")]
    [InlineData("*/30 * * * *", "2026-03-29 00:00", "2026-03-29 00:30", "2026-03-29 01:00", "2026-03-29 01:30")]
    [InlineData("*/30 * * * *", "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2026-10-25 02:00")]
    [InlineData("0 * * * *", "2026-10-24 23:00", "2026-10-25 00:00", "2026-10-25 01:00", "2026-10-25 02:00")]
    [InlineData("*/30 2 * * *", "2026-03-28 12:00", "2026-03-30 00:00", "2026-03-30 00:30")]
    [InlineData("*/30 2 25 10 *", "2026-10-25 00:00", "2026-10-25 00:30", "2026-10-25 01:00", "2026-10-25 01:30", "2027-10-25 00:00")]
    [InlineData("0 */2 * * *", "2026-03-28 22:30", "2026-03-28 23:00", "2026-03-29 02:00", "2026-03-29 04:00")]
    public void Due_times_in_berlin(string expression, string after, params string[] expected) => Check(expression, "Europe/Berlin", after, expected);

    [Theory]
    // 02:00 to 03:00 on 8 March 2026, 07:00 UTC; 02:00 to 01:00 on 1 November, 06:00 UTC.
    [InlineData("30 2 * * *", "2026-03-07 12:00", "2026-03-08 07:00", "2026-03-09 06:30")]
    [InlineData("30 1 * * *", "2026-10-31 12:00", "2026-11-01 05:30", "2026-11-02 06:30")]
    [InlineData("*/20 * * * *", "2026-11-01 05:20", "2026-11-01 05:40", "2026-11-01 06:00", "2026-11-01 06:20", "2026-11-01 06:40", "2026-11-01 07:00")]
    [InlineData("*/20 * * * *", "2026-03-08 06:20", "2026-03-08 06:40", "2026-03-08 07:00", "2026-03-08 07:20")]
    [InlineData("0 22 * * FRI", "2026-03-01 12:00", "2026-03-07 03:00", "2026-03-14 02:00")]
    public void Due_times_in_new_york(string expression, string after, params string[] expected) => Check(expression, "America/New_York", after, expected);

    [Theory]
    [InlineData("30 0 * * *", "Asia/Kolkata", "2026-03-01 12:00", "2026-03-01 19:00", "2026-03-02 19:00")]
    // Half an hour is shown twice on 5 April 2026, 15:00 UTC.
    [InlineData("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:15", "2026-04-04 14:30", "2026-04-04 14:45", "2026-04-04 15:00", "2026-04-04 15:15", "2026-04-05 14:30")]
    [InlineData("45 1 * * *", "Australia/Lord_Howe", "2026-04-04 12:00", "2026-04-04 14:45", "2026-04-05 15:15")]
    public void Due_times_elsewhere(string expression, string zone, string after, params string[] expected) => Check(expression, zone, after, expected);

    [Theory]
    [InlineData("", "0 fields")]
    [InlineData("* * * *", "4 fields")]
    [InlineData("0 * * * * *", "6 fields")]
    [InlineData("@daily", "1 fields")]
    [InlineData("60 * * * *", "'60' cannot stand for the minute", "0 to 59")]
    [InlineData("-1 * * * *", "'-1' cannot stand for the minute")]
    [InlineData("* 24 * * *", "the hour", "0 to 23")]
    [InlineData("* * 0 * *", "the day of month", "1 to 31")]
    [InlineData("* * 32 * *", "the day of month")]
    [InlineData("* * * 0 *", "the month", "1 to 12, JAN to DEC")]
    [InlineData("* * * 13 *", "the month")]
    [InlineData("* * * * 8", "the day of week", "0 to 7, SUN to SAT")]
    [InlineData("* * * MON *", "the month")]
    [InlineData("* * * * JAN", "the day of week")]
    [InlineData("* * L * *", "L, W and #")]
    [InlineData("* * 15W * *", "L, W and #")]
    [InlineData("* * * * 5#2", "L, W and #")]
    [InlineData("* * ? * *", "L, W and #")]
    [InlineData("40-10 * * * *", "a range goes upwards")]
    [InlineData("* * * * FRI-MON", "a range goes upwards")]
    [InlineData("5/15 * * * *", "such as 5-59/15")]
    [InlineData("*/0 * * * *", "a step is 1 to 59")]
    [InlineData("*/90 * * * *", "a step is 1 to 59")]
    [InlineData("*/5/5 * * * *", "more than one step")]
    [InlineData("1,,2 * * * *", "''")]
    [InlineData(", * * * *", "''")]
    [InlineData("1-2-3 * * * *", "no number, name or range")]
    [InlineData("** * * * *", "'**'")]
    [InlineData("+5 * * * *", "'+5'")]
    [InlineData("1.5 * * * *", "'1.5'")]
    [InlineData("١ * * * *", "cannot stand for the minute")]
    [InlineData("99999999999 * * * *", "cannot stand for the minute")]
    [InlineData("0 0 30 2 *", "never due")]
    [InlineData("0 0 31 4,6,9,11 *", "never due")]
    [InlineData("0 0 30,31 FEB */2", "never due")]
    public void What_is_not_cron_is_refused(string expression, string says, string? limit = null)
    {
        var refused = Should.Throw<RefusedException>(() => CronSchedule.Parse(expression, "UTC"));
        refused.Code.ShouldBe("invalid_cron");
        refused.Field.ShouldBe("expression");
        refused.Message.ShouldContain(says);
        if (limit is not null)
        {
            refused.Limit.ShouldBe(limit);
        }
    }

    [Fact]
    public void A_long_expression_is_refused_before_it_is_read() =>
        Should.Throw<RefusedException>(() => CronSchedule.Parse(new string('*', 201), "UTC")).Limit.ShouldBe("200 characters");

    [Theory]
    [InlineData("Mars/Olympus")]
    [InlineData("")]
    [InlineData("../../etc/passwd")]
    [InlineData("W. Europe Standard Time")]
    public void An_unknown_time_zone_is_named(string zone)
    {
        var refused = Should.Throw<RefusedException>(() => CronSchedule.Parse("* * * * *", zone));
        (refused.Code, refused.Field).ShouldBe(("invalid_time_zone", "timeZone"));
        refused.Message.ShouldContain(zone);
    }

    [Fact]
    public void Seconds_and_offsets_of_the_start_do_not_matter()
    {
        var schedule = CronSchedule.Parse("*/5 * * * *", "Europe/Berlin");
        var start = new DateTimeOffset(2026, 3, 1, 14, 4, 59, 999, TimeSpan.FromHours(2));
        schedule.Next(start).ShouldBe(Time("2026-03-01 12:05"));
        schedule.Next(start.AddMilliseconds(1)).ShouldBe(Time("2026-03-01 12:10"));
    }

    /// <summary>Each due time's successor is later, whatever the clock does: nothing is skipped or doubled over years in zones that do strange things.</summary>
    [Theory]
    [InlineData("Europe/Berlin")]
    [InlineData("Africa/Casablanca")]
    [InlineData("Pacific/Chatham")]
    [InlineData("America/Santiago")]
    public void Every_quarter_of_an_hour_goes_on_evenly(string zone)
    {
        var schedule = CronSchedule.Parse("*/15 * * * *", zone);
        var at = Time("2026-01-01 00:00");
        for (var i = 0; i < 40_000; i++)
        {
            var next = schedule.Next(at)!.Value;
            (next - at).ShouldBe(TimeSpan.FromMinutes(15));
            at = next;
        }
    }

    private static void Check(string expression, string zone, string? after, string[] expected)
    {
        if (after is null)
        {
            Should.Throw<RefusedException>(() => CronSchedule.Parse(expression, zone));
            return;
        }

        var schedule = CronSchedule.Parse(expression, zone);
        var found = new List<string>();
        DateTimeOffset? at = Time(after);
        while (found.Count < expected.Length && (at = schedule.Next(at.Value)) is { } due)
        {
            found.Add(due.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture));
        }

        found.ShouldBe(expected);
    }

    private static DateTimeOffset Time(string text) => DateTimeOffset.ParseExact(text, "yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);
}
