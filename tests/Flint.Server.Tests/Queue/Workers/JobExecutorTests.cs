using System.Text.Json;
using Flint.Data;
using Flint.Data.Catalog;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;
using Flint.Server.Packages;
using Flint.Server.Queue;
using Flint.Server.Queue.Workers;
using Flint.Server.Services;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Server.Tests.Queue.Workers;

public sealed class JobExecutorTests : IDisposable
{
    private readonly string _path = Directory.CreateTempSubdirectory("flint-executor-").FullName;
    private readonly WorkerBench _bench = new();
    private readonly CatalogStub _catalog = new();
    private readonly List<InvocationRequest> _dispatched = [];
    private readonly JobExecutor _executor;
    private readonly JobCode _code;
    private Func<InvocationRequest, CancellationToken, CancellationToken, Task<InvocationOutcome>> _dispatch;
    private Func<Settlement.Finished, ClaimedItem, QueuedWork, Settlement.Finished> _followUp = (finished, _, _) => finished;
    private DeliverAsync _deliver = (_, _, _) => throw new InvalidOperationException("Nothing is delivered here.");

    public JobExecutorTests()
    {
        _dispatch = (_, _, _) => Task.FromResult(Completed("42"));
        var cache = new CodeCache(_path, null!, new PackagesOptions(), _bench.Time, NullLogger<CodeCache>.Instance);
        cache.Start();
        _code = new JobCode(cache, new WorkerOptions(), new PackagesOptions(), _bench.Time, NullLogger<JobCode>.Instance);
        var catalog = new FunctionCatalog(_catalog, cache, _bench.Time, Timeout.InfiniteTimeSpan);
        var engines = new EngineRegistry([], new SandboxJanitor(_bench.Time, NullLogger<SandboxJanitor>.Instance), NullLogger<EngineRegistry>.Instance);
        var runner = new JobRunner(
            _code, catalog, (request, stopping, aborting) =>
            {
                _dispatched.Add(request);
                return _dispatch(request, stopping, aborting);
            }, (item, delivery, aborting) => _deliver(item, delivery, aborting), _bench.Time, NullLogger<JobRunner>.Instance);
        _executor = new JobExecutor(
            _bench.Running, runner, _bench.Completer, new InvocationRows(new JsonBuffers(), new HistoryOptions(), new EngineDirectory(engines)), (finished, item, work, _) => Task.FromResult(_followUp(finished, item, work)),
            _bench.Settings, new Random(1), _bench.Time, NullLogger<JobExecutor>.Instance);
    }

    [Fact]
    public async Task A_job_runs_fresh_in_its_own_code_and_is_finished_with_its_result()
    {
        string? seen = null;
        _dispatch = (request, _, _) =>
        {
            seen = File.ReadAllText(Path.Combine(request.Function.CodeDirectory, "main.js"));
            return Task.FromResult(Completed("42"));
        };
        var item = _bench.Item();
        var row = (await RunAsync(item)).ShouldBeOfType<Settlement.Finished>().Row;
        (row.Status, row.Mode, row.ErrorType, row.MemoryMb, row.Engine).ShouldBe(("COMPLETED", "job", null, 512, "native"));
        System.Text.Encoding.UTF8.GetString(row.Result!.Value.Span).ShouldBe("42");
        seen.ShouldBe("function main() {}");
        var spec = _dispatched.Single().Function;
        (spec.Freshness, spec.Call, spec.CpuQuotaMilli, spec.FunctionId, spec.TenantId).ShouldBe((Freshness.Fresh, GuestCall.Main, 1000, item.Id, "default"));
        System.Text.Encoding.UTF8.GetString(_dispatched[0].Payload.Span).ShouldBe("[]");
    }

    [Fact]
    public async Task An_error_is_finished_with_it_or_tried_again_as_often_as_asked()
    {
        _dispatch = (_, _, _) => Task.FromResult(Failed(FaultType.Unhandled, "boom"));
        var finished = (await RunAsync(_bench.Item())).ShouldBeOfType<Settlement.Finished>();
        (finished.Row.Status, finished.Row.ErrorType).ShouldBe(("FAILED", "Unhandled"));
        Notes(finished.AttemptsJson).Single().ErrorMessage.ShouldBe("boom");

        var once = WorkerBench.Job(WorkerBench.NoRetries with { Retries = 1, DelayMs = 700 });
        var retry = (await RunAsync(_bench.Item(once))).ShouldBeOfType<Settlement.Retry>();
        (retry.Delay, retry.CountsAsAttempt).ShouldBe((TimeSpan.FromMilliseconds(700), true));

        var second = (await RunAsync(_bench.Item(once, attempt: 2) with { AttemptsJson = retry.AttemptsJson })).ShouldBeOfType<Settlement.Finished>();
        Notes(second.AttemptsJson).Select(note => (note.Number, note.Status, note.Worker)).ShouldBe([(1, "FAILED", "test"), (2, "FAILED", "test")]);
    }

    [Fact]
    public async Task What_is_put_off_keeps_its_number_and_waits_longer_each_time()
    {
        _dispatch = (_, _, _) => Task.FromResult(Failed(FaultType.Throttled, "full"));
        var delays = new List<TimeSpan>();
        string? notes = null;
        for (var tries = 0; tries < 6; tries++)
        {
            var retry = (await RunAsync(_bench.Item() with { AttemptsJson = notes })).ShouldBeOfType<Settlement.Retry>();
            retry.CountsAsAttempt.ShouldBeFalse();
            delays.Add(retry.Delay);
            notes = retry.AttemptsJson;
        }

        Notes(notes).Single().Refusals.ShouldBe(6);
        delays[5].ShouldBeGreaterThan(delays[0] * 8);

        // It runs at last: one note, which says how often it was put off.
        _dispatch = (_, _, _) => Task.FromResult(Completed("1"));
        var finished = (await RunAsync(_bench.Item() with { AttemptsJson = notes })).ShouldBeOfType<Settlement.Finished>();
        Notes(finished.AttemptsJson).Select(note => (note.Number, note.Status, note.Refusals)).ShouldBe([(1, "COMPLETED", 6)]);
    }

    [Fact]
    public async Task The_age_counts_from_creation_and_through_the_run()
    {
        var rules = WorkerBench.NoRetries with { Retries = 5, MaxAgeMs = 60_000, DelayMs = 0 };
        _dispatch = (_, _, _) =>
        {
            _bench.Time.Advance(5000);
            return Task.FromResult(Failed(FaultType.Unhandled, "boom"));
        };
        var item = _bench.Item(WorkerBench.Job(rules));
        (await RunAsync(item with { CreatedAt = item.ClaimedAt - TimeSpan.FromSeconds(54) })).ShouldBeOfType<Settlement.Retry>();
        item = _bench.Item(WorkerBench.Job(rules));
        (await RunAsync(item with { CreatedAt = item.ClaimedAt - TimeSpan.FromSeconds(55) })).ShouldBeOfType<Settlement.Finished>();
    }

    [Fact]
    public async Task Losses_with_the_lease_and_with_the_sandbox_count_together()
    {
        _dispatch = (_, _, _) => Task.FromResult(Failed(FaultType.SandboxLost, "gone"));
        var first = (await RunAsync(_bench.Item())).ShouldBeOfType<Settlement.Retry>();
        first.CountsAsAttempt.ShouldBeTrue();
        (await RunAsync(_bench.Item(attempt: 3) with { Losses = 1, AttemptsJson = first.AttemptsJson })).ShouldBeOfType<Settlement.Finished>().Row.ErrorType.ShouldBe("SandboxLost");
    }

    [Fact]
    public async Task Expired_it_does_not_run()
    {
        var finished = (await RunAsync(_bench.Item() with { Expired = true })).ShouldBeOfType<Settlement.Finished>();
        (finished.Row.Status, finished.Row.ErrorType, finished.Row.StartedAt).ShouldBe(("FAILED", "Expired", null));
        _dispatched.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_function_that_is_gone_fails_clearly_and_is_not_tried_again()
    {
        _catalog.Failure = new RefusedException("function_not_found", "There is no function f.");
        var finished = (await RunAsync(Function())).ShouldBeOfType<Settlement.Finished>();
        finished.Row.ErrorType.ShouldBe("FunctionNotFound");
        finished.Row.ErrorJson!.ShouldContain("There is no function f.");
    }

    [Fact]
    public async Task A_catalog_that_cannot_be_read_puts_it_off()
    {
        _catalog.Failure = new DatabaseException("down");
        (await RunAsync(Function())).ShouldBeOfType<Settlement.Retry>().CountsAsAttempt.ShouldBeFalse();
    }

    [Fact]
    public async Task A_delivery_goes_to_whoever_delivers()
    {
        DeliveryWork? seen = null;
        _deliver = (_, delivery, _) =>
        {
            seen = delivery;
            return Task.FromResult(Completed("null"));
        };
        var work = new QueuedWork { Delivery = new DeliveryWork("https://example.test/", null, "cause"), Retry = WorkerBench.NoRetries };
        (await RunAsync(_bench.Item(work))).ShouldBeOfType<Settlement.Finished>().Row.Status.ShouldBe("COMPLETED");
        seen!.Url.ShouldBe("https://example.test/");
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    public async Task What_cannot_be_read_fails(string work) =>
        (await RunAsync(_bench.Item() with { WorkJson = work })).ShouldBeOfType<Settlement.Finished>().Row.ErrorType.ShouldBe("InvalidPayload");

    [Fact]
    public async Task A_zip_that_cannot_be_unpacked_fails()
    {
        var work = WorkerBench.Job();
        work = work with { Job = work.Job! with { FileName = null } };
        (await RunAsync(_bench.Item(work) with { Source = "no zip"u8.ToArray() })).ShouldBeOfType<Settlement.Finished>().Row.ErrorType.ShouldBe("InvalidPayload");
    }

    [Fact]
    public async Task A_defect_is_tried_again_and_ends_the_third_time()
    {
        _dispatch = (_, _, _) => throw new InvalidOperationException("a bug");
        (await RunAsync(_bench.Item())).ShouldBeOfType<Settlement.Retry>().CountsAsAttempt.ShouldBeTrue();
        (await RunAsync(_bench.Item(attempt: 3))).ShouldBeOfType<Settlement.Finished>().Row.ErrorType.ShouldBe("SandboxLost");
    }

    [Fact]
    public async Task Cancelled_it_is_killed_and_nothing_is_settled()
    {
        var entered = new TestSignal();
        _dispatch = async (_, _, aborting) =>
        {
            entered.Set();
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, aborting).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return Failed(FaultType.SandboxLost, "aborted");
        };
        var item = await _bench.ClaimAsync();
        _executor.Begin(item);
        await entered.WaitAsync();
        _bench.Running.Cancel(item.Item.TenantId, item.Item.Id).ShouldBeTrue();
        await _bench.Running.IdleAsync();
        await Eventually.True(() => _bench.Running.Unsettled == 0, "it is forgotten");
        await _bench.Completer.RunOnceAsync(CancellationToken.None);
        _bench.Store.AllSettled.ShouldBeEmpty();
        _bench.Running.Cancel(item.Item.TenantId, item.Item.Id).ShouldBeFalse();
    }

    [Fact]
    public async Task Stopping_it_releases_what_has_not_begun_and_what_is_killed_and_settles_what_finishes()
    {
        var finish = new TaskCompletionSource();
        var entered = new TestSignal();
        _dispatch = async (request, stopping, aborting) =>
        {
            entered.Set();
            switch (_dispatched.IndexOf(request))
            {
                case 0:
                    await finish.Task;
                    return Completed("1");
                case 1:
                    await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, stopping).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    return Failed(FaultType.Cancelled, "no sandbox yet", InvocationStatus.Cancelled);
                default:
                    await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, aborting).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    return Failed(FaultType.SandboxLost, "killed");
            }
        };
        var items = new List<RunningItem>();
        for (var n = 0; n < 3; n++)
        {
            items.Add(await _bench.ClaimAsync());
            _executor.Begin(items[n]);
            await entered.WaitAsync();
        }

        await _executor.StopAsync();
        items.Add(await _bench.ClaimAsync());
        _executor.Begin(items[3]);
        finish.SetResult();
        await Eventually.True(() => _bench.Running.Running == 1, "only what hangs is left");
        _bench.Running.AbortAll();
        await _bench.Running.IdleAsync();
        await _bench.Completer.RunOnceAsync(CancellationToken.None);
        var settled = _bench.Store.AllSettled.ToDictionary(settlement => settlement.Id);
        settled[items[0].Item.Id].ShouldBeOfType<Settlement.Finished>();
        items[1..].ShouldAllBe(item => settled[item.Item.Id] is Settlement.Release);
    }

    [Fact]
    public async Task A_long_error_message_is_cut_in_the_notes_and_never_within_a_character()
    {
        _dispatch = (_, _, _) => Task.FromResult(Failed(FaultType.Unhandled, new string('x', 999) + "😀" + new string('y', 5000)));
        var finished = (await RunAsync(_bench.Item())).ShouldBeOfType<Settlement.Finished>();
        Notes(finished.AttemptsJson).Single().ErrorMessage.ShouldBe(new string('x', 999));
    }

    public void Dispose()
    {
        _executor.Dispose();
        _code.Dispose();
        _bench.Dispose();
        Directory.Delete(_path, recursive: true);
    }

    [Fact]
    public async Task What_follows_is_added_to_every_end_and_to_nothing_else()
    {
        _followUp = (finished, item, work) => finished with { DeadLetterList = $"{finished.Row.Status} {work.Retry.Retries}" };
        (await RunAsync(_bench.Item())).ShouldBeOfType<Settlement.Finished>().DeadLetterList.ShouldBe("COMPLETED 0");
        (await RunAsync(_bench.Item() with { Expired = true })).ShouldBeOfType<Settlement.Finished>().DeadLetterList.ShouldBe("FAILED 0");
        _dispatch = (_, _, _) => Task.FromResult(Failed(FaultType.Unhandled, "boom"));
        var once = WorkerBench.Job(WorkerBench.NoRetries with { Retries = 1 });
        (await RunAsync(_bench.Item(once))).ShouldBeOfType<Settlement.Retry>();
        (await RunAsync(_bench.Item(once, attempt: 2))).ShouldBeOfType<Settlement.Finished>().DeadLetterList.ShouldBe("FAILED 1");
    }

    [Fact]
    public async Task What_was_lost_too_often_with_its_workers_ends_without_another_run()
    {
        _followUp = (finished, _, _) => finished with { DeadLetterList = "lost" };
        (await RunAsync(_bench.Item(attempt: 3) with { Losses = 2 })).ShouldBeOfType<Settlement.Finished>().Row.Status.ShouldBe("COMPLETED");
        _dispatched.Clear();
        var finished = (await RunAsync(_bench.Item(attempt: 4) with { Losses = 3 })).ShouldBeOfType<Settlement.Finished>();
        (finished.Row.ErrorType, finished.DeadLetterList, _dispatched.Count).ShouldBe(("SandboxLost", "lost", 0));
    }

    [Fact]
    public async Task A_chain_of_destinations_that_does_not_end_is_ended()
    {
        _catalog.Failure = new DatabaseException("asked");
        (await RunAsync(Deep(QueuedWork.MaxDepth))).ShouldBeOfType<Settlement.Retry>();
        (await RunAsync(Deep(QueuedWork.MaxDepth + 1))).ShouldBeOfType<Settlement.Finished>().Row.ErrorType.ShouldBe("LoopDetected");

        ClaimedItem Deep(int depth) => _bench.Item(new QueuedWork { Function = new FunctionWork("f", null), Retry = WorkerBench.NoRetries, Depth = depth }) with { Mode = "async", Source = null };
    }

    private async Task<Settlement> RunAsync(ClaimedItem item)
    {
        // Each item that a test runs is claimed anew, so its lease may be one that was settled before.
        var before = _bench.Store.AllSettled.Count;
        _executor.Begin(await _bench.ClaimAsync(item));
        await _bench.Running.IdleAsync();
        await _bench.Completer.RunOnceAsync(CancellationToken.None);
        return _bench.Store.AllSettled.Skip(before).Single();
    }

    private ClaimedItem Function() =>
        _bench.Item(new QueuedWork { Function = new FunctionWork("f", null), Retry = WorkerBench.NoRetries with { Retries = 2 } }) with { Mode = "async", FunctionName = "f", Source = null };

    private InvocationOutcome Completed(string result) => new()
    {
        Status = InvocationStatus.Completed,
        Result = System.Text.Encoding.UTF8.GetBytes(result),
        StartedAt = _bench.Time.GetUtcNow(),
        CompletedAt = _bench.Time.GetUtcNow(),
        SandboxId = "s1",
        ColdStart = true,
    };

    private InvocationOutcome Failed(FaultType type, string message, InvocationStatus status = InvocationStatus.Failed) => new()
    {
        Status = status,
        Error = new InvocationError(type, message),
        StartedAt = _bench.Time.GetUtcNow(),
        CompletedAt = _bench.Time.GetUtcNow(),
    };

    private static List<AttemptNote> Notes(string? json) => JsonSerializer.Deserialize(json!, QueuedWorkJson.Default.ListAttemptNote)!;

    private sealed class CatalogStub : ICatalogStore
    {
        public Exception Failure { get; set; } = new InvalidOperationException("No function is asked for here.");

        public Task<T> ReadAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> query, CancellationToken cancellationToken) => Task.FromException<T>(Failure);

        public Task<T> WriteAsync<T>(Func<FlintDbContext, CancellationToken, Task<T>> command, CancellationToken cancellationToken) => throw new NotSupportedException();
    }
}
