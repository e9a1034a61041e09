using Flint.Data;
using Flint.Data.Queue;
using Flint.Server.Queue.Workers;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class WorkerLeaseTests : IDisposable
{
    private readonly WorkerBench _bench = new();

    [Fact]
    public async Task Renewed_in_time_the_term_goes_on_and_nothing_is_killed()
    {
        var term = await _bench.LeaseAsync();
        var running = await RunAsync();
        for (var renewals = 0; renewals < 10; renewals++)
        {
            _bench.Time.Advance(_bench.Settings.RenewEvery);
            (await _bench.Lease.RunOnceAsync(CancellationToken.None)).NextIn.ShouldBe(_bench.Settings.RenewEvery);
        }

        _bench.Lease.Term.ShouldBe(term);
        running.Aborting.IsCancellationRequested.ShouldBeFalse();
        _bench.Store.Registered.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Not_renewed_everything_is_killed_before_the_lease_ends_and_the_worker_comes_back_under_a_new_id()
    {
        var term = await _bench.LeaseAsync();
        var running = await RunAsync();
        _bench.Store.Fails = true;
        await Should.ThrowAsync<DatabaseException>(_bench.Lease.RunOnceAsync(CancellationToken.None));

        _bench.Time.Advance(_bench.Settings.Held - TimeSpan.FromMilliseconds(1));
        term.Lost.IsCancellationRequested.ShouldBeFalse();
        _bench.Time.Advance(1);
        term.Lost.IsCancellationRequested.ShouldBeTrue();
        await Cancelled(running.Aborting);
        running.IsForfeited.ShouldBeTrue();
        _bench.Lease.Term.ShouldBeNull();
        _bench.Settings.Held.ShouldBeLessThan(_bench.Settings.Lease);

        _bench.Store.Fails = false;
        (await _bench.LeaseAsync()).WorkerId.ShouldNotBe(term.WorkerId);
    }

    [Fact]
    public async Task The_lease_counts_from_before_a_renewal_was_sent()
    {
        var term = await _bench.LeaseAsync();
        _bench.Time.Advance(_bench.Settings.RenewEvery);
        // The answer takes two seconds.
        _bench.Store.Held = _ =>
        {
            _bench.Time.Advance(2000);
            return Task.CompletedTask;
        };
        await _bench.Lease.RunOnceAsync(CancellationToken.None);
        _bench.Store.Held = null;
        _bench.Time.Advance(_bench.Settings.Held - TimeSpan.FromMilliseconds(2001));
        term.Lost.IsCancellationRequested.ShouldBeFalse();
        _bench.Time.Advance(1);
        term.Lost.IsCancellationRequested.ShouldBeTrue();
    }

    [Fact]
    public async Task A_renewal_whose_answer_comes_too_late_saves_nothing()
    {
        var term = await _bench.LeaseAsync();
        _bench.Store.Held = async _ =>
        {
            _bench.Time.Advance(_bench.Settings.Held);
            await Task.Yield();
        };
        (await _bench.Lease.RunOnceAsync(CancellationToken.None)).NextIn.ShouldBe(TimeSpan.Zero);
        term.Lost.IsCancellationRequested.ShouldBeTrue();
        _bench.Lease.Term.ShouldBeNull();
    }

    [Fact]
    public async Task A_store_that_hangs_does_not_keep_the_worker_from_coming_back()
    {
        var term = await _bench.LeaseAsync();
        var never = new TaskCompletionSource();
        _bench.Store.Held = what => what == "renew" ? never.Task : Task.CompletedTask;
        var renewing = _bench.Lease.RunOnceAsync(CancellationToken.None);
        _bench.Time.Advance(_bench.Settings.Held);
        await renewing.WaitAsync(TimeSpan.FromSeconds(20));
        (await _bench.LeaseAsync()).WorkerId.ShouldNotBe(term.WorkerId);
    }

    [Fact]
    public async Task A_refused_renewal_kills_at_once()
    {
        var term = await _bench.LeaseAsync();
        var running = await RunAsync();
        _bench.Store.End(term.WorkerId);
        (await _bench.Lease.RunOnceAsync(CancellationToken.None)).NextIn.ShouldBe(TimeSpan.Zero);
        await Cancelled(running.Aborting);
        running.IsForfeited.ShouldBeTrue();
    }

    [Fact]
    public async Task What_is_no_longer_leased_was_cancelled_and_is_killed_alone()
    {
        await _bench.LeaseAsync();
        var (cancelled, other) = (await RunAsync(), await RunAsync());
        _bench.Store.Drop(cancelled.Item.Id);
        await _bench.Lease.RunOnceAsync(CancellationToken.None);
        await Cancelled(cancelled.Aborting);
        cancelled.IsForfeited.ShouldBeTrue();
        other.IsForfeited.ShouldBeFalse();
    }

    [Fact]
    public async Task What_is_claimed_while_a_renewal_is_under_way_is_not_taken_for_cancelled()
    {
        await _bench.LeaseAsync();
        RunningItem? late = null;
        _bench.Store.Held = async what =>
        {
            if (what == "renew")
            {
                _bench.Store.Held = null;
                late = await RunAsync();
            }
        };
        await _bench.Lease.RunOnceAsync(CancellationToken.None);
        late!.IsForfeited.ShouldBeFalse();
    }

    [Fact]
    public async Task What_was_claimed_without_the_answer_arriving_is_released_by_the_second_renewal()
    {
        var term = await _bench.LeaseAsync();
        var item = _bench.Item();
        _bench.Store.Add(item);
        await _bench.Store.ClaimAsync(new ClaimRequest(term.WorkerId, 1), CancellationToken.None);

        await _bench.Lease.RunOnceAsync(CancellationToken.None);
        _bench.Store.AllSettled.ShouldBeEmpty();
        await _bench.Lease.RunOnceAsync(CancellationToken.None);
        _bench.Store.AllSettled.Single().ShouldBeOfType<Settlement.Release>().Id.ShouldBe(item.Id);
    }

    [Fact]
    public async Task Asked_through_the_store_it_drains_with_the_next_renewal_and_takes_work_again()
    {
        var term = await _bench.LeaseAsync();
        var told = 0;
        _bench.Lease.Ready = () => told++;
        await _bench.Store.AskDrainAsync(term.WorkerId, true, CancellationToken.None);
        await _bench.LeaseAsync();
        _bench.Lease.Draining.ShouldBeTrue();
        await _bench.Store.AskDrainAsync(term.WorkerId, false, CancellationToken.None);
        await _bench.LeaseAsync();
        _bench.Lease.Draining.ShouldBeFalse();
        told.ShouldBe(2);
    }

    [Fact]
    public async Task Asked_here_it_drains_at_once_and_a_renewal_under_way_does_not_undo_it()
    {
        var term = await _bench.LeaseAsync();
        _bench.Store.Held = async what =>
        {
            if (what == "renew")
            {
                await _bench.Lease.DrainAsync(true, CancellationToken.None);
            }
        };
        await _bench.LeaseAsync();
        _bench.Lease.Draining.ShouldBeTrue();
        _bench.Store.DrainAsked(term.WorkerId).ShouldBeTrue();
    }

    [Fact]
    public async Task A_worker_that_drains_still_does_so_under_its_next_id()
    {
        var term = await _bench.LeaseAsync();
        await _bench.Lease.DrainAsync(true, CancellationToken.None);
        _bench.Lease.Lose(term);
        var next = await _bench.LeaseAsync();
        _bench.Store.DrainAsked(next.WorkerId).ShouldBeTrue();
        await _bench.LeaseAsync();
        _bench.Lease.Draining.ShouldBeTrue();
    }

    [Fact]
    public async Task Leaving_gives_the_lease_back_and_leaves_no_timer()
    {
        var term = await _bench.LeaseAsync();
        await _bench.Lease.LeaveAsync(CancellationToken.None);
        _bench.Store.Left.ShouldBe([term.WorkerId]);
        _bench.Lease.Term.ShouldBeNull();
        _bench.Time.ActiveTimers.ShouldBe(0);
    }

    public void Dispose() => _bench.Dispose();

    private async Task<RunningItem> RunAsync()
    {
        var item = await _bench.ClaimAsync();
        _bench.Running.Add(item);
        return item;
    }

    /// <summary>What hangs on a lost lease is told on another thread.</summary>
    private static Task Cancelled(CancellationToken token) => TestKit.Time.Eventually.True(() => token.IsCancellationRequested, "the run is killed");
}
