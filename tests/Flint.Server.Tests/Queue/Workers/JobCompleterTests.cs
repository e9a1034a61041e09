using Flint.Data;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue.Workers;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class JobCompleterTests : IDisposable
{
    private readonly WorkerBench _bench = new();
    private readonly List<string> _finished = [];

    public JobCompleterTests() => _bench.Completer.Settled = items => _finished.AddRange(items.Select(item => item.Id));

    [Fact]
    public async Task The_first_goes_at_once_and_those_that_come_meanwhile_go_together()
    {
        var written = new TestSignal();
        var release = new TaskCompletionSource();
        _bench.Store.Held = what =>
        {
            written.Set();
            return what == "settle" ? release.Task : Task.CompletedTask;
        };
        var items = new[] { await EndedAsync(), await EndedAsync(), await EndedAsync(), await EndedAsync() };
        while (written.IsSet)
        {
            await written.WaitAsync();
        }

        await _bench.Completer.StartAsync(CancellationToken.None);
        Add(items[0]);
        await written.WaitAsync();
        Array.ForEach(items[1..], Add);
        release.SetResult();
        await Eventually.True(() => _bench.Running.Unsettled == 0, "all are written");
        _bench.Store.Settled.Select(batch => batch.Count).ShouldBe([1, 3]);
        _finished.ShouldBe(items.Select(item => item.Item.Id));
        await _bench.Completer.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task What_the_database_refused_is_written_in_its_order_when_it_works_again()
    {
        var items = new[] { await EndedAsync(), await EndedAsync() };
        _bench.Store.Fails = true;
        Add(items[0]);
        await Should.ThrowAsync<DatabaseException>(RunAsync());
        Add(items[1]);
        await Should.ThrowAsync<DatabaseException>(RunAsync());
        _bench.Running.Unsettled.ShouldBe(2);

        _bench.Store.Fails = false;
        await RunAsync();
        _finished.ShouldBe(items.Select(item => item.Item.Id));
        _bench.Running.Unsettled.ShouldBe(0);
    }

    [Fact]
    public async Task Once_the_lease_is_lost_it_is_dropped()
    {
        var item = await EndedAsync();
        _bench.Store.Fails = true;
        Add(item);
        await Should.ThrowAsync<DatabaseException>(RunAsync());
        _bench.Time.Advance(_bench.Settings.Held);
        _bench.Store.Fails = false;
        await RunAsync();
        _bench.Store.AllSettled.ShouldBeEmpty();
        _finished.ShouldBeEmpty();
        _bench.Running.Unsettled.ShouldBe(0);
    }

    [Fact]
    public async Task What_was_fenced_off_is_told_to_nobody()
    {
        var (cancelled, other) = (await EndedAsync(), await EndedAsync());
        _bench.Store.Drop(cancelled.Item.Id);
        Add(cancelled);
        Add(other);
        await RunAsync();
        _finished.ShouldBe([other.Item.Id]);
        _bench.Running.Unsettled.ShouldBe(0);
    }

    [Fact]
    public async Task One_that_cannot_be_stored_fails_alone_and_still_ends()
    {
        var items = new[] { await EndedAsync(), await EndedAsync(), await EndedAsync() };
        _bench.Store.Check = settlement =>
        {
            if (settlement is Settlement.Finished { Row: { Result: not null } } && settlement.Id == items[1].Item.Id)
            {
                throw new ArgumentException("Not storable.");
            }
        };
        Array.ForEach(items, Add);
        await RunAsync();
        _finished.ShouldBe(items.Select(item => item.Item.Id), ignoreOrder: true);
        var rows = _bench.Store.AllSettled.OfType<Settlement.Finished>().ToDictionary(settlement => settlement.Id, settlement => settlement.Row);
        rows[items[1].Item.Id].ErrorType.ShouldBe("SandboxLost");
        rows[items[0].Item.Id].Status.ShouldBe("COMPLETED");
    }

    [Fact]
    public async Task A_batch_has_a_bound()
    {
        for (var n = 0; n < 600; n++)
        {
            Add(await EndedAsync());
        }

        await RunAsync();
        _bench.Store.Settled.Select(batch => batch.Count).ShouldBe([256, 256, 88]);
    }

    public void Dispose() => _bench.Dispose();

    private async Task<RunningItem> EndedAsync()
    {
        var item = await _bench.ClaimAsync();
        _bench.Running.Add(item);
        _bench.Running.Ended(item);
        return item;
    }

    private void Add(RunningItem item) => _bench.Completer.Add(item, new Settlement.Finished(item.Item.LeaseNo, new InvocationRow
    {
        TenantId = item.Item.TenantId,
        Id = item.Item.Id,
        FunctionId = "",
        FunctionName = "",
        Version = "1",
        Mode = "job",
        Status = "COMPLETED",
        CreatedAt = item.Item.CreatedAt,
        CompletedAt = item.Item.CreatedAt,
        Result = "1"u8.ToArray(),
    }, null));

    private Task RunAsync() => _bench.Completer.RunOnceAsync(CancellationToken.None);
}
