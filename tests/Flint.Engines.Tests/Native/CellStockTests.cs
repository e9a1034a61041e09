using Flint.Engines.Native;
using Flint.Runtime.Sandboxing;
using Flint.TestKit.Time;

namespace Flint.Engines.Tests.Native;

public sealed class CellStockTests : IDisposable
{
    private static readonly CellKind Python = new("default", "python3.11", NetworkAccess.None);
    private static readonly CellKind Executed = new("default", null, NetworkAccess.None);
    private readonly ManualTimeProvider _time = new();
    private readonly List<Cell> _making = [];
    private readonly List<Cell> _discarded = [];
    private readonly List<Cell> _made = [];
    private readonly CellStock _stock;
    private bool _zygoteUp = true;
    private uint _lastCell;

    public CellStockTests() => _stock = NewStock(4);

    public void Dispose()
    {
        _stock.Dispose();
        _made.ForEach(static cell => cell.Dispose());
    }

    [Fact]
    public async Task A_first_request_waits_for_its_cell_and_more_are_made_ahead()
    {
        var taken = Take(Python);
        taken.IsCompleted.ShouldBeFalse();
        _making.Count.ShouldBe(5);
        var first = Deliver();
        (await taken).ShouldBe(first);
        DeliverAll();
        _stock.Ready.ShouldBe(4);
    }

    [Fact]
    public async Task What_was_taken_is_made_again_only_when_the_taker_says_so()
    {
        await FillAsync(Python);
        (await Take(Python)).ShouldNotBeNull();
        _making.ShouldBeEmpty();
        _stock.Refill();
        _making.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Kinds_do_not_stand_in_for_each_other()
    {
        await FillAsync(Python);
        CellKind[] others = [Executed, Python with { Tenant = "other" }, Python with { Network = NetworkAccess.Egress }, Python with { Zygote = "nodejs20" }];
        foreach (var kind in others)
        {
            var taken = Take(kind);
            taken.IsCompleted.ShouldBeFalse();
            DeliverAll();
            (await taken)!.Kind.ShouldBe(kind);
        }
    }

    [Fact]
    public async Task A_burst_waits_in_line_and_no_more_than_the_bound_are_made_at_once()
    {
        var taken = Enumerable.Range(0, 200).Select(_ => Take(Python)).ToArray();
        _making.Count.ShouldBe(CellStock.MaxMaking);
        var delivered = new List<Cell>();
        while (_making.Count > 0)
        {
            _making.Count.ShouldBeLessThanOrEqualTo(CellStock.MaxMaking);
            delivered.Add(Deliver());
        }

        (await Task.WhenAll(taken)).ShouldBe(delivered.Take(200));
    }

    [Fact]
    public void Kinds_take_turns_and_waiting_requests_come_first()
    {
        _ = Enumerable.Range(0, 100).Select(_ => Take(Python)).ToArray();
        var one = Take(Executed);
        // All places are taken; the other kind's turn comes before the second of those that have waited longer.
        Deliver();
        Deliver();
        _making.Count(cell => cell.Kind == Executed).ShouldBe(1);
        one.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task Who_gives_up_takes_no_cell_along()
    {
        using var impatience = new CancellationTokenSource();
        var gaveUp = _stock.TakeAsync(Python, impatience.Token).AsTask();
        await impatience.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => gaveUp);
        var stays = Take(Python);
        var cell = Deliver();
        (await stays).ShouldBe(cell);
    }

    [Fact]
    public async Task A_cell_that_died_as_it_lay_there_is_not_handed_out()
    {
        var dead = (await FillAsync(Python))[0];
        dead.OnExited(0, 9, false);
        (await Take(Python)).ShouldNotBe(dead);
    }

    [Fact]
    public async Task Each_failure_is_one_requests_and_none_are_made_ahead_until_one_succeeds()
    {
        var taken = Enumerable.Range(0, 20).Select(_ => Take(Python)).ToArray();
        while (_making.Count > 0)
        {
            Fail("cgroup");
        }

        foreach (var request in taken)
        {
            (await Should.ThrowAsync<CellFailedException>(() => request)).Failure.OfZygote.ShouldBeFalse();
        }

        _stock.Refill();
        _making.ShouldBeEmpty();
        var next = Take(Python);
        _making.Count.ShouldBe(1);
        Deliver();
        (await next).ShouldNotBeNull();
        _making.Count.ShouldBe(4);
    }

    [Fact]
    public async Task Without_its_zygote_only_what_is_ready_is_handed_out()
    {
        await FillAsync(Python);
        _zygoteUp = false;
        for (var i = 0; i < 4; i++)
        {
            (await Take(Python)).ShouldNotBeNull();
            _stock.Refill();
        }

        _making.ShouldBeEmpty();
        (await Take(Python)).ShouldBeNull();
        _zygoteUp = true;
        _stock.Retry("python3.11");
        _making.Count.ShouldBe(4);
    }

    [Fact]
    public async Task A_zygote_that_comes_back_ends_the_pause_after_a_failure()
    {
        var taken = Take(Python);
        while (_making.Count > 0)
        {
            Fail("zygote");
        }

        var failure = await Should.ThrowAsync<CellFailedException>(() => taken);
        failure.Failure.OfZygote.ShouldBeTrue();
        failure.Zygote.ShouldBe(1u);
        _stock.Retry("nodejs20");
        _making.ShouldBeEmpty();
        _stock.Retry("python3.11");
        _making.Count.ShouldBe(4);
    }

    [Fact]
    public async Task Demand_makes_the_stock_larger_up_to_its_limit_and_its_end_smaller_again()
    {
        for (var i = 0; i < 100; i++)
        {
            await ServeAsync();
        }

        DeliverAll();
        _stock.Ready.ShouldBe(10);
        for (var i = 0; i < 900; i++)
        {
            await ServeAsync();
        }

        DeliverAll();
        _stock.Ready.ShouldBe(CellStock.Largest);
        _stock.Trim().ShouldBe(0);
        _time.Advance(TimeSpan.FromSeconds(3));
        _stock.Trim().ShouldBe(CellStock.Largest - 4);
        _stock.Ready.ShouldBe(4);
    }

    [Fact]
    public async Task A_kind_that_nobody_asks_for_keeps_nothing()
    {
        await FillAsync(Python);
        _time.Advance(CellStock.IdleLimit - TimeSpan.FromSeconds(1));
        _stock.Trim().ShouldBe(0);
        _time.Advance(TimeSpan.FromSeconds(1));
        _stock.Trim().ShouldBe(4);
        _discarded.Count.ShouldBe(4);
        _stock.Refill();
        _making.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_stock_of_none_makes_what_is_asked_for_and_no_more()
    {
        using var stock = NewStock(0);
        var taken = stock.TakeAsync(Python, CancellationToken.None).AsTask();
        _making.Count.ShouldBe(1);
        Deliver();
        (await taken).ShouldNotBeNull();
        stock.Refill();
        _making.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_end_fails_who_waits_and_discards_what_is_ready_or_still_comes()
    {
        await FillAsync(Python);
        var waits = Take(Executed);
        _stock.Dispose();
        await Should.ThrowAsync<CellFailedException>(() => waits);
        await Should.ThrowAsync<CellFailedException>(() => Take(Executed));
        _discarded.Count.ShouldBe(4);
        DeliverAll();
        _discarded.Count.ShouldBe(9);
    }

    private CellStock NewStock(int smallest) => new(new CellSource(Make, kind => kind.Zygote is null || _zygoteUp, _discarded.Add), smallest, _time);

    private void Make(CellKind kind, Action<Cell> settled) => _making.Add(new Cell(++_lastCell, kind, 1, settled));

    private Task<Cell?> Take(CellKind kind) => _stock.TakeAsync(kind, CancellationToken.None).AsTask();

    private async Task<List<Cell>> FillAsync(CellKind kind)
    {
        var taken = Take(kind);
        var all = DeliverAll();
        all.Remove((await taken)!);
        return all;
    }

    private async Task ServeAsync()
    {
        var taken = Take(Python);
        if (!taken.IsCompleted)
        {
            Deliver();
        }

        await taken;
        _stock.Refill();
        DeliverAll();
    }

    private List<Cell> DeliverAll()
    {
        List<Cell> all = [];
        while (_making.Count > 0)
        {
            all.Add(Deliver());
        }

        return all;
    }

    private Cell Deliver()
    {
        var cell = _making[0];
        _making.RemoveAt(0);
        cell.OnReady(Descriptors.Streams(), []);
        _made.Add(cell);
        return cell;
    }

    private void Fail(string phase)
    {
        var cell = _making[0];
        _making.RemoveAt(0);
        cell.OnFailed(new CellFailure(phase, "not allowed"));
        cell.OnGone(null);
    }
}
