using System.Globalization;
using Flint.Data.Model;
using Flint.Server.Queue.Schedules;
using Flint.Server.Services;

namespace Flint.Server.Tests.Queue;

public sealed class DuePlanTests
{
    private static readonly TimeSpan MissedAfter = TimeSpan.FromMinutes(1);

    [Theory]
    [InlineData("skip")]
    [InlineData("one")]
    [InlineData("all")]
    public void What_is_due_now_runs_once(string missedRuns)
    {
        var plan = Plan(Hourly(missedRuns), "12:00", "12:00:30");
        (Runs(plan), Time(plan.Next), plan.Error).ShouldBe(("12:00", "13:00", null));
    }

    [Theory]
    [InlineData("skip", "")]
    [InlineData("one", "15:00")]
    [InlineData("all", "12:00 13:00 14:00 15:00")]
    public void What_no_server_saw_goes_by_the_policy(string missedRuns, string runs)
    {
        var plan = Plan(Hourly(missedRuns), "12:00", "15:20");
        (Runs(plan), Time(plan.Next)).ShouldBe((runs, "16:00"));
        (plan.Error is null).ShouldBe(runs.Length > 0);
    }

    [Fact]
    public void The_last_of_the_missed_ones_runs_when_it_is_due_right_now() => Runs(Plan(Hourly("skip"), "12:00", "15:00:59")).ShouldBe("15:00");

    [Fact]
    public void No_more_than_the_last_hundred_are_run_after_years_of_minutes()
    {
        var schedule = Hourly("all");
        schedule.Expression = "* * * * *";
        schedule.NextAt = At("12:00").AddYears(-20);
        var plan = DuePlan.Of(schedule, At("12:00"), MissedAfter);
        plan.Runs.Count.ShouldBe(100);
        (plan.Runs[0], plan.Runs[^1], plan.Next).ShouldBe((At("10:21"), At("12:00"), At("12:01")));
    }

    [Fact]
    public void Rare_due_times_are_found_however_long_ago()
    {
        var schedule = Hourly("all");
        schedule.Expression = "0 0 29 2 *";
        schedule.NextAt = new DateTimeOffset(2016, 2, 29, 0, 0, 0, TimeSpan.Zero);
        DuePlan.Of(schedule, At("12:00"), MissedAfter).Runs.Select(due => due.Year).ShouldBe([2016, 2020, 2024]);
    }

    [Fact]
    public void A_rate_keeps_its_phase()
    {
        var schedule = Hourly("all");
        (schedule.Expression, schedule.RateMs) = (null, 25 * 60_000);
        var plan = Plan(schedule, "12:10", "13:10");
        (Runs(plan), Time(plan.Next)).ShouldBe(("12:10 12:35 13:00", "13:25"));
    }

    [Fact]
    public void A_time_zone_that_the_host_has_lost_is_told_and_tried_again()
    {
        var schedule = Hourly("all");
        schedule.TimeZone = "Mars/Olympus";
        var plan = Plan(schedule, "12:00", "12:00");
        (Runs(plan), Time(plan.Next)).ShouldBe(("", "13:00"));
        plan.Error!.ShouldContain("Mars/Olympus");
    }

    [Theory]
    [InlineData("12:00", "12:10")]
    [InlineData("12:09:59", "12:10")]
    [InlineData("12:10", "12:35")]
    [InlineData("11:45", "12:10")]
    [InlineData("11:44:59", "11:45")]
    [InlineData("11:20", "11:45")]
    public void The_next_of_a_rate_is_the_first_after(string after, string next) => Time(new Recurrence(null, 25 * 60_000, "UTC", At("12:10")).Next(At(after))).ShouldBe(next);

    [Fact]
    public void A_rate_has_limits()
    {
        Recurrence.CheckRate(1000, 1000).ShouldBe(1000);
        foreach (var wrong in new[] { 999, 0, -1, Recurrence.MaxRateMs + 1 })
        {
            var refused = Should.Throw<RefusedException>(() => Recurrence.CheckRate(wrong, 1000));
            (refused.Field, refused.Knob).ShouldBe(("rateMs", "Flint:Schedules:MinRateMs"));
        }
    }

    private static DuePlan Plan(ScheduleEntity schedule, string nextAt, string now)
    {
        schedule.NextAt = At(nextAt);
        return DuePlan.Of(schedule, At(now), MissedAfter);
    }

    private static ScheduleEntity Hourly(string missedRuns) => new()
    {
        TenantId = "default",
        Id = "1",
        Name = "s",
        TimeZone = "UTC",
        RevisionId = "1",
        Expression = "0 * * * *",
        FunctionName = "f",
        MissedRuns = missedRuns,
        Enabled = true,
    };

    private static DateTimeOffset At(string time) => new(new DateTime(2026, 3, 1) + TimeSpan.Parse(time, CultureInfo.InvariantCulture), TimeSpan.Zero);

    private static string Runs(DuePlan plan) => string.Join(' ', plan.Runs.Select(due => Time(due)));

    private static string Time(DateTimeOffset? time) => time?.ToString("HH:mm", CultureInfo.InvariantCulture) ?? "";
}
