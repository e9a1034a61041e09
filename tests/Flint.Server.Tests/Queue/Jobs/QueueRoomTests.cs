using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.Server.Services;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Queue.Jobs;

public sealed class QueueRoomTests
{
    private readonly GatedQueue _store = new();
    private readonly ManualTimeProvider _time = new();
    private readonly QueueRoom _room;
    private int _waiting;

    public QueueRoomTests()
    {
        _store.OnDepth = () => new QueueDepth(_waiting, 0, 0, null);
        _room = new QueueRoom(_store, new QueueOptions { MaxWaiting = 100 }, _time);
    }

    [Fact]
    public async Task The_database_is_asked_once_for_many()
    {
        for (var i = 0; i < 100; i++)
        {
            await TakeAsync();
        }

        _store.Depths.ShouldBe(1);
    }

    [Fact]
    public async Task A_full_queue_refuses_and_is_counted_at_most_once_a_second()
    {
        await TakeAsync(100);
        (await RefusedAsync()).Knob.ShouldBe("Flint:Queue:MaxWaiting");
        await RefusedAsync();
        _store.Depths.ShouldBe(1);

        _time.Advance(TimeSpan.FromSeconds(1));
        _waiting = 100;
        await RefusedAsync();
        _store.Depths.ShouldBe(2);

        _time.Advance(TimeSpan.FromSeconds(1));
        _waiting = 99;
        await TakeAsync();
        await RefusedAsync();
        _store.Depths.ShouldBe(3);
    }

    [Fact]
    public async Task What_came_while_it_was_counted_counts()
    {
        _waiting = 50;
        await TakeAsync(10);
        var taken = false;
        _store.OnDepth = () =>
        {
            if (!taken)
            {
                taken = true;
                TakeAsync(30).IsCompletedSuccessfully.ShouldBeTrue();
            }

            return new QueueDepth(60, 0, 0, null);
        };
        _time.Advance(TimeSpan.FromSeconds(2));
        // 60 by the first count, so that it is counted anew: 60 and the 30 that came meanwhile.
        await RefusedAsync(41);
        await TakeAsync(10);
        await RefusedAsync(1);
    }

    [Fact]
    public async Task Delayed_items_count_and_others_queues_do_not()
    {
        _store.OnDepth = () => new QueueDepth(60, 40, 500, null);
        await RefusedAsync();
        _store.OnDepth = () => new QueueDepth(0, 0, 0, null);
        await _room.TakeAsync("other", 100, CancellationToken.None);
    }

    [Fact]
    public async Task An_old_count_is_renewed_without_anybody_waiting()
    {
        await TakeAsync();
        _time.Advance(TimeSpan.FromSeconds(6));
        _waiting = 100;
        await TakeAsync();
        await Eventually.True(() => _store.Depths == 2, "it is counted again");
        await Eventually.True(() => !TakeAsync().IsCompletedSuccessfully, "the new count is known");
    }

    private async Task<RefusedException> RefusedAsync(int items = 1)
    {
        var refused = await Should.ThrowAsync<RefusedException>(() => TakeAsync(items));
        refused.Code.ShouldBe("throttled");
        return refused;
    }

    private async Task TakeAsync(int items = 1) => await _room.TakeAsync("default", items, CancellationToken.None);
}
