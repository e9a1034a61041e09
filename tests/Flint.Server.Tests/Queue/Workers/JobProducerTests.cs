using Flint.Server.Queue.Workers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class JobProducerTests : IDisposable
{
    private readonly List<RunningItem> _begun = [];
    private WorkerBench _bench = new();
    private JobProducer? _producer;

    [Fact]
    public async Task It_claims_as_many_as_there_are_free_places_and_begins_them_in_order()
    {
        await StartAsync(places: 3);
        var items = Enumerable.Range(0, 5).Select(_ => _bench.Item()).ToArray();
        _bench.Store.Add(items);
        await RunAsync();
        _begun.Select(item => item.Item.Id).ShouldBe(items.Take(3).Select(item => item.Id));

        // No place, no claim.
        (await RunAsync()).Handled.ShouldBe(0);
        _bench.Store.Claims.ShouldBe([3]);

        End(_begun[0]);
        await RunAsync();
        _bench.Store.Claims.ShouldBe([3, 1]);
        _begun.Count.ShouldBe(4);
    }

    [Fact]
    public async Task It_claims_again_at_once_only_when_there_may_be_more_and_there_is_a_place()
    {
        await StartAsync(places: 3);
        _bench.Store.Add(_bench.Item(), _bench.Item());
        (await RunAsync()).NextIn.ShouldBeNull();
        _bench.Store.Add(_bench.Item(), _bench.Item());
        // All places are taken: the next that becomes free wakes it.
        (await RunAsync()).NextIn.ShouldBeNull();
        _bench.Store.Claims.ShouldBe([3, 1]);
    }

    [Theory]
    [InlineData(200, 200)]
    [InlineData(0, 1)]
    [InlineData(60_000, null)]
    public async Task It_looks_again_when_something_is_due_but_no_later_than_its_poll(int due, int? next)
    {
        await StartAsync();
        _bench.Store.NextDue = TimeSpan.FromMilliseconds(due);
        (await RunAsync()).NextIn.ShouldBe(next is { } milliseconds ? TimeSpan.FromMilliseconds(milliseconds) : null);
    }

    [Fact]
    public async Task Draining_it_claims_nothing()
    {
        await StartAsync();
        _bench.Store.Add(_bench.Item());
        await _bench.Lease.DrainAsync(true, CancellationToken.None);
        await RunAsync();
        _bench.Store.Claims.ShouldBeEmpty();
        await _bench.Lease.DrainAsync(false, CancellationToken.None);
        (await RunAsync()).Handled.ShouldBe(1);
    }

    [Fact]
    public async Task Without_a_lease_it_claims_nothing()
    {
        await StartAsync();
        _bench.Store.Add(_bench.Item());
        _bench.Lease.Term!.End();
        await RunAsync();
        _bench.Store.Claims.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_claim_that_is_refused_ends_the_term()
    {
        await StartAsync();
        var term = _bench.Lease.Term!;
        _bench.Store.End(term.WorkerId);
        await RunAsync();
        term.Lost.IsCancellationRequested.ShouldBeTrue();
    }

    [Fact]
    public async Task Starts_per_second_are_kept()
    {
        await StartAsync(places: 100, startsPerSecond: 10);
        _bench.Store.Add([.. Enumerable.Range(0, 40).Select(_ => _bench.Item())]);
        await RunAsync();
        _begun.Count.ShouldBe(10);
        var next = (await RunAsync()).NextIn!.Value;
        next.ShouldBe(TimeSpan.FromMilliseconds(100));
        _bench.Time.Advance(next);
        await RunAsync();
        _begun.Count.ShouldBe(11);
        _bench.Time.Advance(2000);
        await RunAsync();
        _begun.Count.ShouldBe(21);
    }

    [Fact]
    public async Task Under_pressure_it_takes_fewer_and_looks_again_until_that_is_over()
    {
        await StartAsync(places: 8);
        _bench.Host = new HostReading(BelowFloor: true, null, null);
        _bench.Time.Advance(WorkerPlaces.Fresh);
        _bench.Store.Add([.. Enumerable.Range(0, 20).Select(_ => _bench.Item())]);
        (await RunAsync()).NextIn.ShouldBe(WorkerPlaces.Fresh);
        _begun.Count.ShouldBe(4);
        _bench.Host = default;
        _bench.Time.Advance(WorkerPlaces.Fresh);
        await RunAsync();
        _begun.Count.ShouldBe(5);
    }

    [Fact]
    public async Task Results_that_the_database_does_not_take_hold_claims_back()
    {
        await StartAsync(places: 2);
        _bench.Store.Add([.. Enumerable.Range(0, 20).Select(_ => _bench.Item())]);
        for (var rounds = 0; rounds < 10; rounds++)
        {
            await RunAsync();
            _begun.ForEach(EndOnce);
        }

        // Two places' worth is waiting to be written, and another two.
        _begun.Count.ShouldBe(4);
        _bench.Running.Forget(_begun[0]);
        await RunAsync();
        _begun.Count.ShouldBe(5);
    }

    public void Dispose()
    {
        _producer?.Dispose();
        _bench.Dispose();
    }

    private readonly HashSet<RunningItem> _ended = [];

    private void EndOnce(RunningItem item)
    {
        if (_ended.Add(item))
        {
            _bench.Running.Ended(item);
        }
    }

    private async Task StartAsync(int places = 4, int startsPerSecond = 0)
    {
        _bench.Dispose();
        _bench = new WorkerBench(places, startsPerSecond);
        _producer = new JobProducer(
            _bench.Store, _bench.Lease, _bench.Running, _bench.Places, new StartBucket(startsPerSecond, _bench.Time), _bench.Settings, item =>
            {
                _bench.Running.Add(item);
                _begun.Add(item);
            }, _bench.Time, NullLogger<JobProducer>.Instance);
        await _bench.LeaseAsync();
    }

    private Task<Flint.Runtime.Loops.LoopRun> RunAsync() => _producer!.RunOnceAsync(CancellationToken.None);

    private void End(RunningItem item)
    {
        _bench.Running.Ended(item);
        _bench.Running.Forget(item);
    }
}
