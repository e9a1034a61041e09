using Flint.Server.Queue.Workers;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class PressureTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly HostReading Calm = default;
    private static readonly HostReading Floor = new(true, null, null);
    private static readonly HostReading Thrashing = new(false, 25, 50);
    private static readonly HostReading BusyCpu = new(false, 0, 97);

    [Fact]
    public void Memory_halves_the_places_and_lets_each_step_settle()
    {
        var policy = new PlacesPolicy(16, 4);
        policy.Next(Floor, Second).ShouldBe(8);
        After(policy, Floor, 4).ShouldBe(8);
        policy.Next(Floor, Second).ShouldBe(4);
        After(policy, Thrashing, 5).ShouldBe(2);
        After(policy, Floor, 100).ShouldBe(1);
    }

    [Fact]
    public void Cpu_takes_a_quarter_but_keeps_the_cores_busy()
    {
        var policy = new PlacesPolicy(16, 4);
        policy.Next(BusyCpu, Second).ShouldBe(12);
        After(policy, BusyCpu, 5).ShouldBe(9);
        After(policy, BusyCpu, 100).ShouldBe(4);
    }

    [Fact]
    public void Places_grow_back_when_the_pressure_is_gone_and_not_while_the_cores_are_overloaded()
    {
        var policy = new PlacesPolicy(16, 4);
        After(policy, Floor, 100).ShouldBe(1);
        policy.IsShrunk.ShouldBeTrue();
        After(policy, BusyCpu, 10).ShouldBe(1);
        policy.Next(Calm, Second).ShouldBe(3);
        After(policy, Calm, 20).ShouldBe(16);
        policy.IsShrunk.ShouldBeFalse();
    }

    [Fact]
    public void A_single_place_stays_one()
    {
        var policy = new PlacesPolicy(1, 1);
        After(policy, Floor, 10).ShouldBe(1);
        After(policy, BusyCpu, 10).ShouldBe(1);
        After(policy, Calm, 10).ShouldBe(1);
    }

    [Fact]
    public void The_host_is_looked_at_once_a_second_at_most()
    {
        var time = new ManualTimeProvider();
        var looks = 0;
        var places = new WorkerPlaces(new WorkerSettings("w", "worker", 4, 2, 0, Second, Second), () =>
        {
            looks++;
            return Calm;
        }, time);
        for (var calls = 0; calls < 10; calls++)
        {
            places.Now().ShouldBe(4);
        }

        looks.ShouldBe(1);
        time.Advance(Second);
        places.Now();
        looks.ShouldBe(2);
    }

    [Theory]
    [InlineData("some avg10=12.34 avg60=1.00 avg300=0.00 total=5\nfull avg10=99.00 avg60=0 avg300=0 total=0\n", 12.34)]
    [InlineData("some avg10=0.00", 0d)]
    [InlineData("", null)]
    [InlineData("nothing of the kind", null)]
    [InlineData("some avg10=x avg60=1", null)]
    public void Pressure_files_are_read(string text, double? expected) => HostReading.Parse(text).ShouldBe(expected);

    [Theory]
    [InlineData(2, 24_000, 8)]
    [InlineData(64, 512_000, 256)]
    [InlineData(16, 2048, 16)]
    [InlineData(1, 100, 2)]
    public void Places_follow_cores_and_memory(int cores, long memoryMb, int expected) =>
        WorkerSettings.From(new WorkerOptions(), "worker", cores, memoryMb, shared: true).Places.ShouldBe(expected);

    [Fact]
    public void What_is_configured_wins()
    {
        var settings = WorkerSettings.From(new WorkerOptions { Name = "w1", Concurrency = 5, StartsPerSecond = 10, PollMs = 300, LeaseMs = 3000 }, "api,worker", 64, 512_000, shared: false);
        (settings.Name, settings.Places, settings.StartsPerSecond, settings.Poll, settings.Lease).ShouldBe(("w1", 5, 10, TimeSpan.FromMilliseconds(300), TimeSpan.FromSeconds(3)));
        WorkerSettings.From(new WorkerOptions(), "worker", 2, 4000, shared: false).Poll.ShouldBe(TimeSpan.FromSeconds(5));
    }

    private static int After(PlacesPolicy policy, HostReading reading, int seconds)
    {
        for (var n = 0; n < seconds; n++)
        {
            policy.Next(reading, Second);
        }

        return policy.Places;
    }
}
