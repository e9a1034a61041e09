using Flint.Engines.Native;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native;

/// <summary>Runs the keeper's rounds by hand, on a clock that stands still.</summary>
public sealed class ZygoteKeeperTests : IDisposable
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(10);
    private readonly ManualTimeProvider _time = new();
    private readonly List<Zygote> _started = [];
    private readonly List<Zygote> _retired = [];
    private readonly ZygoteKeeper _keeper;
    private Action<Zygote> _boot = static zygote => zygote.OnReady(5);
    private int _readied;

    public ZygoteKeeperTests()
    {
        _keeper = new ZygoteKeeper("python3.11", new ZygoteSource(Start, Retire), Lifetime, _ => _readied++, _time, NullLogger.Instance);
    }

    public void Dispose() => _keeper.Dispose();

    [Fact]
    public async Task The_first_round_starts_one_that_serves_until_its_time_is_up()
    {
        _keeper.Current.ShouldBeNull();
        _keeper.Trouble.ShouldBe("it is starting");
        _keeper.FirstBoot.IsCompleted.ShouldBeFalse();
        (await RoundAsync()).ShouldBe(Lifetime);
        _keeper.Current.ShouldBe(_started.Single());
        _keeper.Trouble.ShouldBeNull();
        _keeper.FirstBoot.IsCompleted.ShouldBeTrue();
        _readied.ShouldBe(1);
    }

    [Fact]
    public async Task A_round_before_its_time_changes_nothing()
    {
        await RoundAsync();
        _time.Advance(Lifetime / 2);
        (await RoundAsync()).ShouldBe(Lifetime / 2);
        _started.Count.ShouldBe(1);
    }

    [Fact]
    public async Task An_old_one_is_retired_only_when_the_new_one_is_ready()
    {
        await RoundAsync();
        _time.Advance(Lifetime);
        _boot = _ => { };
        var round = RoundAsync();
        _started.Count.ShouldBe(2);
        _keeper.Current.ShouldBe(_started[0]);
        _retired.ShouldBeEmpty();

        _started[1].OnReady(6);
        (await round).ShouldBe(Lifetime);
        _keeper.Current.ShouldBe(_started[1]);
        _retired.ShouldBe([_started[0]]);
        _readied.ShouldBe(2);
    }

    [Fact]
    public async Task An_old_one_goes_on_when_no_new_one_can_be_had()
    {
        await RoundAsync();
        _time.Advance(Lifetime);
        _boot = static zygote => zygote.OnGone(1, 0, "no module");
        (await RoundAsync()).ShouldBe(TimeSpan.FromMilliseconds(100));
        _keeper.Current.ShouldBe(_started[0]);
        _keeper.Trouble.ShouldBeNull();
        _retired.ShouldBeEmpty();
    }

    [Fact]
    public async Task One_that_ends_is_noticed_at_once_and_started_again_after_a_while()
    {
        await RoundAsync();
        _started[0].OnGone(0, 9, "");
        _keeper.Current.ShouldBeNull();
        _keeper.Trouble.ShouldNotBeNull();
        (await RoundAsync()).ShouldBe(TimeSpan.FromMilliseconds(100));
        _keeper.Trouble.ShouldBe("it ended (signal 9)");
        _started.Count.ShouldBe(1);

        _time.Advance(100);
        await RoundAsync();
        _keeper.Current.ShouldBe(_started[1]);
    }

    [Fact]
    public async Task Waits_grow_while_it_fails_up_to_their_limit_and_shrink_when_one_has_lived()
    {
        _boot = static zygote => zygote.OnGone(1, 0, "no module");
        var wait = await RoundAsync();
        wait.ShouldBe(TimeSpan.FromMilliseconds(100));
        _keeper.Trouble.ShouldBe("it ended while it was starting (exit status 1: no module)");
        _keeper.FirstBoot.IsCompleted.ShouldBeTrue();
        foreach (var expected in (int[])[200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000])
        {
            _time.Advance(wait);
            (wait = await RoundAsync()).TotalMilliseconds.ShouldBe(expected);
        }

        _boot = static zygote => zygote.OnReady(5);
        _time.Advance(wait);
        await RoundAsync();
        _time.Advance(TimeSpan.FromSeconds(29));
        _started[^1].OnGone(0, 11, "");
        (await RoundAsync()).ShouldBe(TimeSpan.FromSeconds(30));

        _time.Advance(TimeSpan.FromSeconds(30));
        await RoundAsync();
        _time.Advance(TimeSpan.FromSeconds(30));
        _started[^1].OnGone(0, 11, "");
        (await RoundAsync()).ShouldBe(TimeSpan.FromMilliseconds(100));
    }

    [Fact]
    public async Task One_that_never_gets_ready_is_given_up()
    {
        _boot = _ => { };
        var round = RoundAsync();
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(10));
        _time.Advance(TimeSpan.FromSeconds(10));
        (await round).ShouldBe(TimeSpan.FromMilliseconds(100));
        _retired.ShouldBe(_started);
        _keeper.Trouble!.ShouldContain("10 s");
    }

    private Zygote Start()
    {
        var zygote = new Zygote((uint)_started.Count + 1);
        _started.Add(zygote);
        _boot(zygote);
        return zygote;
    }

    private void Retire(Zygote zygote)
    {
        _retired.Add(zygote);
        zygote.OnGone(0, 15, "retired");
    }

    private async Task<TimeSpan> RoundAsync() => (await _keeper.RunOnceAsync(CancellationToken.None)).NextIn!.Value;
}
