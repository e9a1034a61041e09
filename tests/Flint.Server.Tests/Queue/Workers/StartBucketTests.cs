using Flint.Server.Queue.Workers;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class StartBucketTests
{
    private readonly ManualTimeProvider _time = new();

    [Fact]
    public void Without_a_limit_any_number_may_begin()
    {
        var bucket = new StartBucket(0, _time);
        bucket.Take(1_000_000);
        bucket.Available().ShouldBe(int.MaxValue);
    }

    [Fact]
    public void A_second_is_worth_what_was_asked_and_no_more_is_saved()
    {
        var bucket = new StartBucket(5, _time);
        bucket.Available().ShouldBe(5);
        bucket.Take(5);
        bucket.Available().ShouldBe(0);
        _time.Advance(1000);
        bucket.Available().ShouldBe(5);
        _time.Advance(TimeSpan.FromHours(1));
        bucket.Available().ShouldBe(5);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(7)]
    [InlineData(1000)]
    public void The_wait_that_it_tells_is_the_wait_that_it_takes(int perSecond)
    {
        var bucket = new StartBucket(perSecond, _time);
        bucket.Take(bucket.Available());
        for (var starts = 0; starts < 50; starts++)
        {
            bucket.Available().ShouldBe(0);
            // In whole ticks, as timers are.
            _time.Advance(bucket.UntilNext + TimeSpan.FromTicks(1));
            bucket.Available().ShouldBe(1);
            bucket.Take(1);
        }
    }

    [Fact]
    public void Over_a_minute_the_rate_is_kept_however_often_it_is_asked()
    {
        var bucket = new StartBucket(7, _time);
        var begun = 0;
        for (var milliseconds = 0; milliseconds < 60_000; milliseconds += 13)
        {
            var now = bucket.Available();
            bucket.Take(now);
            begun += now;
            _time.Advance(13);
        }

        begun.ShouldBeInRange(7 * 60, (7 * 60) + 7);
    }
}
