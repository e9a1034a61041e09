using Flint.Data;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Server.Tests.Queue.Jobs;

public sealed class QueueWriterTests
{
    private readonly GatedQueue _store = new();
    private readonly QueueWriter _writer;
    private int _commits;

    public QueueWriterTests()
    {
        _writer = new QueueWriter(_store, NullLogger<QueueWriter>.Instance);
        _writer.Committed += () => Interlocked.Increment(ref _commits);
    }

    [Fact]
    public async Task The_first_goes_at_once_and_those_that_come_meanwhile_go_together()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _store.OnEnqueue = entries => entries[0].Row.Id == "first" ? release.Task : Task.CompletedTask;
        var first = EnqueueAsync("first");
        _store.Calls.Single().ShouldBe(["first"]);
        var others = new[] { EnqueueAsync("a"), EnqueueAsync("b"), EnqueueAsync("c") };
        _store.Calls.Count.ShouldBe(1);
        _commits.ShouldBe(0);

        release.SetResult();
        (await first).Id.ShouldBe("first");
        (await Task.WhenAll(others)).Select(result => result.Id).ShouldBe(["a", "b", "c"]);
        _store.Calls.Count.ShouldBe(2);
        _store.Calls.Last().ShouldBe(["a", "b", "c"]);
        _commits.ShouldBe(2);
    }

    [Fact]
    public async Task A_batch_is_bounded_in_entries_and_in_bytes()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _store.OnEnqueue = entries => entries[0].Row.Id == "first" ? release.Task : Task.CompletedTask;
        var all = new List<Task<EnqueueResult>> { EnqueueAsync("first") };
        all.AddRange(Enumerable.Range(0, 300).Select(number => EnqueueAsync($"small-{number}")));
        all.AddRange(Enumerable.Range(0, 3).Select(number => EnqueueAsync($"large-{number}", 3 * 1024 * 1024)));
        release.SetResult();
        await Task.WhenAll(all);
        _store.Calls.Select(call => call.Length).ShouldBe([1, 256, 45, 1, 1]);
    }

    [Fact]
    public async Task One_bad_entry_fails_alone()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _store.OnEnqueue = async entries =>
        {
            await (entries[0].Row.Id == "first" ? release.Task : Task.CompletedTask);
            if (entries.Any(entry => entry.Row.Id == "bad"))
            {
                throw new ArgumentException("bad");
            }
        };
        var all = new[] { "first", "a", "bad", "b" }.Select(id => EnqueueAsync(id)).ToArray();
        release.SetResult();
        await Task.WhenAll(all).ContinueWith(_ => { }, TaskScheduler.Default);
        (await all[1]).Id.ShouldBe("a");
        (await all[3]).Id.ShouldBe("b");
        (await all[2].ShouldThrowAsync<ArgumentException>()).Message.ShouldBe("bad");
    }

    [Fact]
    public async Task Every_caller_learns_that_the_database_is_away_and_it_is_not_asked_for_each()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _store.OnEnqueue = async _ =>
        {
            await release.Task;
            throw new DatabaseException("away");
        };
        var all = Enumerable.Range(0, 50).Select(number => EnqueueAsync($"{number}")).ToArray();
        release.SetResult();
        foreach (var one in all)
        {
            await one.ShouldThrowAsync<DatabaseException>();
        }

        // The first alone, the rest together, and two of them by themselves.
        _store.Calls.Count.ShouldBe(4);
        _commits.ShouldBe(0);
        _store.OnEnqueue = _ => Task.CompletedTask;
        (await EnqueueAsync("after")).Outcome.ShouldBe(EnqueueOutcome.Added);
    }

    [Fact]
    public async Task Who_comes_when_too_much_waits_waits_for_room_and_can_leave()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var begun = new TestSignal();
        _store.OnEnqueue = entries =>
        {
            begun.Set();
            return release.Task;
        };
        var first = EnqueueAsync("first");
        await begun.WaitAsync();
        var waiting = Enumerable.Range(0, 4096).Select(number => EnqueueAsync($"{number}")).ToArray();
        using var leaving = new CancellationTokenSource();
        var leaves = _writer.EnqueueAsync(Entry("leaves", 10), leaving.Token);
        var stays = EnqueueAsync("stays");
        await leaving.CancelAsync();
        await leaves.ShouldThrowAsync<OperationCanceledException>();
        stays.IsCompleted.ShouldBeFalse();

        release.SetResult();
        await Task.WhenAll([first, stays, .. waiting]);
        _store.Calls.SelectMany(ids => ids).ShouldNotContain("leaves");
        _store.Calls.SelectMany(ids => ids).Distinct().Count().ShouldBe(4098);
    }

    private Task<EnqueueResult> EnqueueAsync(string id, int bytes = 10) => _writer.EnqueueAsync(Entry(id, bytes), CancellationToken.None);

    public static QueueEntry Entry(string id, int bytes) => new()
    {
        Row = new InvocationRow
        {
            TenantId = "default",
            Id = id,
            FunctionId = "",
            FunctionName = "",
            Version = "",
            Mode = "job",
            Status = "PENDING",
            CreatedAt = DateTimeOffset.UnixEpoch,
            Payload = new byte[bytes],
        },
        WorkJson = "{}",
        Lane = "jobs",
    };
}
