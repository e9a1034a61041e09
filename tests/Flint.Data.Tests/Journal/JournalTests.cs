using Flint.Data.Invocations;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Data.Tests.Journal;

public sealed class JournalTests : IAsyncDisposable
{
    private static readonly TimeSpan Window = TimeSpan.FromMilliseconds(50);

    private readonly ManualTime _time = new();
    private readonly GatedStore _store = new();
    private readonly JournalOptions _options = new();
    private InvocationJournal? _journal;

    private InvocationJournal Journal => _journal ??= New(new JournalOptions());

    public async ValueTask DisposeAsync()
    {
        _store.Open();
        if (_journal is not null)
        {
            await _journal.DisposeAsync();
        }
    }

    [Fact]
    public async Task The_first_row_starts_the_window_and_its_end_writes_one_batch()
    {
        var rows = Rows.Invocations(3);
        _time.Pending.ShouldBe(0);
        await RecordAsync(rows[0]);
        _time.Pending.ShouldBe(1);
        _time.Advance(TimeSpan.FromMilliseconds(30));
        await RecordAsync(rows[1], rows[2]);
        _time.Advance(TimeSpan.FromMilliseconds(19));
        _store.IsIdle.ShouldBeTrue();

        _time.Advance(TimeSpan.FromMilliseconds(1));
        var append = await _store.NextAsync();

        append.Rows.ShouldBe(rows);
        append.Pass();
    }

    [Fact]
    public async Task Nothing_ticks_while_idle()
    {
        await RecordAsync(Rows.Invocation());
        _time.Advance(Window);
        (await _store.NextAsync()).Pass();
        await RecordStrictlyAsync(Rows.Invocation());
        _time.Pending.ShouldBe(0);
    }

    [Fact]
    public async Task A_full_batch_does_not_wait_for_the_window()
    {
        _journal = New(new JournalOptions { BatchRows = 3 });
        var rows = Rows.Invocations(4);
        await RecordAsync([.. rows]);
        var append = await _store.NextAsync();
        append.Rows.ShouldBe(rows[..3]);
        append.Pass();
        _time.Advance(Window);
        (await _store.NextAsync()).Rows.ShouldBe(rows[3..]);
        _store.Open();
    }

    [Fact]
    public async Task A_batch_full_of_bytes_does_not_wait_for_the_window()
    {
        _journal = New(new JournalOptions { BatchBytes = 100_000 });
        await RecordAsync(Rows.Invocation() with { Result = new byte[100_000] });
        (await _store.NextAsync()).Pass();
    }

    [Fact]
    public async Task A_strict_row_is_written_at_once_and_answers_after_the_commit()
    {
        var recording = Journal.RecordAsync(Rows.Invocation(), strict: true, default).AsTask();
        var append = await _store.NextAsync();
        recording.IsCompleted.ShouldBeFalse();
        append.Pass();
        await recording;
        _store.Rows.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_cancelled_strict_caller_leaves_its_row_to_be_written()
    {
        using var cancelled = new CancellationTokenSource();
        var recording = Journal.RecordAsync(Rows.Invocation(), strict: true, cancelled.Token).AsTask();
        var append = await _store.NextAsync();
        await cancelled.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => recording);
        append.Pass();
        await Journal.DisposeAsync();
        _store.Rows.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Rows_are_read_before_while_and_after_they_are_written()
    {
        var row = Rows.Invocation();
        await RecordAsync(row);
        await SeesAsync(row);
        _time.Advance(Window);
        var append = await _store.NextAsync();
        await SeesAsync(row);

        // The store has it, and the journal does not know yet.
        _store.Keep([row]);
        await SeesAsync(row);
        append.Pass();
        await Journal.DisposeAsync();
        await SeesAsync(row);
    }

    [Fact]
    public async Task A_row_committed_while_a_list_is_read_is_not_missed()
    {
        var row = Rows.Invocation();
        var recording = Journal.RecordAsync(row, strict: true, default).AsTask();
        var append = await _store.NextAsync();
        _store.AfterListing = async () =>
        {
            append.Pass();
            await recording;
        };

        (await Journal.ListAsync(new() { TenantId = "default" }, default)).Rows.ShouldHaveSingleItem().Id.ShouldBe(row.Id);
    }

    [Fact]
    public async Task Pages_merge_what_is_buffered_with_what_is_stored()
    {
        var rows = Rows.Invocations(20);
        _store.Keep(rows.Where((_, i) => i % 3 != 0));
        await RecordAsync([.. rows.Where((_, i) => i % 3 == 0)]);
        _store.Keep([rows[3], rows[6]]);

        var seen = new List<string>();
        InvocationPage page;
        do
        {
            page = await Journal.ListAsync(new() { TenantId = "default", Limit = 3, BeforeId = seen.Count == 0 ? null : seen[^1] }, default);
            page.Rows.Count.ShouldBe(seen.Count < 18 ? 3 : 2);
            seen.AddRange(page.Rows.Select(row => row.Id));
        }
        while (page.HasMore);

        seen.ShouldBe(rows.Select(row => row.Id).Reverse());
    }

    [Fact]
    public async Task A_page_that_only_the_buffer_overfills_has_more()
    {
        var rows = Rows.Invocations(4);
        _store.Keep(rows[..2]);
        await RecordAsync(rows[2], rows[3]);
        (await Journal.ListAsync(new() { TenantId = "default", Limit = 3 }, default)).HasMore.ShouldBeTrue();
        (await Journal.ListAsync(new() { TenantId = "default", Limit = 4 }, default)).HasMore.ShouldBeFalse();
    }

    [Fact]
    public async Task Buffered_rows_are_filtered_as_stored_ones()
    {
        var at = Rows.Start;
        var failed = Rows.Invocation(at.AddSeconds(1), status: "FAILED");
        var other = Rows.Invocation(at.AddSeconds(2), function: "other") with { ColdStart = true };
        var theirs = Rows.Invocation(at.AddSeconds(3), tenant: "theirs");
        await RecordAsync(failed, other, theirs);

        await ListsAsync(new() { TenantId = "default" }, other, failed);
        await ListsAsync(new() { TenantId = "theirs" }, theirs);
        await ListsAsync(new() { TenantId = "default", Status = "FAILED" }, failed);
        await ListsAsync(new() { TenantId = "default", FunctionName = "other" }, other);
        await ListsAsync(new() { TenantId = "default", ColdStart = true }, other);
        await ListsAsync(new() { TenantId = "default", ColdStart = false }, failed);
        await ListsAsync(new() { TenantId = "default", From = at.AddSeconds(2) }, other);
        await ListsAsync(new() { TenantId = "default", To = at.AddSeconds(2) }, failed);
        await ListsAsync(new() { TenantId = "default", BeforeId = other.Id }, failed);
        (await Journal.GetAsync("theirs", other.Id, default)).ShouldBeNull();
    }

    [Fact]
    public async Task Buffered_lists_carry_no_data()
    {
        await RecordAsync(Rows.Invocation());
        var listed = (await Journal.ListAsync(new() { TenantId = "default" }, default)).Rows.ShouldHaveSingleItem();
        listed.Payload.ShouldBeNull();
        listed.Result.ShouldBeNull();
        listed.Log.ShouldBeNull();
    }

    [Fact]
    public async Task A_failed_batch_is_tried_again_with_growing_delays_until_it_is_written()
    {
        await RecordAsync(Rows.Invocation());
        _time.Advance(Window);
        foreach (var delay in new[] { 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000 })
        {
            (await _store.NextAsync()).Fail();
            await PendingTimersAsync(1);
            _time.Advance(TimeSpan.FromMilliseconds(delay - 1));
            _store.IsIdle.ShouldBeTrue();
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        (await _store.NextAsync()).Pass();
        await Journal.DisposeAsync();
        _store.Rows.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Callers_wait_in_order_when_the_buffer_is_full_and_nothing_is_dropped()
    {
        _journal = New(new JournalOptions { MaxRows = 2 });
        var rows = Rows.Invocations(5);
        await RecordAsync(rows[0], rows[1]);
        var waiting = rows[2..].Select(row => Journal.RecordAsync(row, strict: false, default).AsTask()).ToList();
        waiting.ShouldAllBe(task => !task.IsCompleted);

        (await _store.NextAsync()).Pass();
        await Task.WhenAll(waiting[..2]);
        waiting[2].IsCompleted.ShouldBeFalse();
        (await _store.NextAsync()).Pass();
        await waiting[2];
        _store.Open();
        await Journal.DisposeAsync();
        _store.Rows.Select(row => row.Id).Order().ShouldBe(rows.Select(row => row.Id).Order());
    }

    [Fact]
    public async Task The_buffer_is_bounded_by_bytes_and_takes_one_larger_row()
    {
        _journal = New(new JournalOptions { MaxBytes = 100_000 });
        await RecordAsync(Rows.Invocation() with { Result = new byte[200_000] });
        var waiting = Journal.RecordAsync(Rows.Invocation(), strict: false, default).AsTask();
        waiting.IsCompleted.ShouldBeFalse();
        (await _store.NextAsync()).Pass();
        await waiting;
    }

    [Fact]
    public async Task Waiters_beyond_half_the_buffers_bytes_are_an_overload_until_they_have_room()
    {
        _journal = New(new JournalOptions { MaxBytes = 100_000 });
        await RecordAsync(Rows.Invocation() with { Result = new byte[100_000] });
        var first = Journal.RecordAsync(Rows.Invocation() with { Result = new byte[40_000] }, strict: false, default).AsTask();
        Journal.IsOverloaded.ShouldBeFalse();
        using var gone = new CancellationTokenSource();
        var second = Journal.RecordAsync(Rows.Invocation() with { Result = new byte[40_000] }, strict: false, gone.Token).AsTask();
        Journal.IsOverloaded.ShouldBeTrue();
        await gone.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => second);
        Journal.IsOverloaded.ShouldBeFalse();
        var third = Journal.RecordAsync(Rows.Invocation() with { Result = new byte[40_000] }, strict: false, default).AsTask();
        Journal.IsOverloaded.ShouldBeTrue();

        (await _store.NextAsync()).Pass();
        await Task.WhenAll(first, third);
        Journal.IsOverloaded.ShouldBeFalse();
        _store.Open();
    }

    [Fact]
    public async Task More_waiters_than_their_bound_are_an_overload_and_none_is_dropped()
    {
        _journal = New(new JournalOptions { MaxRows = 1 });
        var rows = Rows.Invocations(_options.MaxRoomWaiters + 2);
        var waiting = rows.Select(row => Journal.RecordAsync(row, strict: false, default).AsTask()).ToList();
        Journal.IsOverloaded.ShouldBeTrue();
        _store.Open();
        await Task.WhenAll(waiting);
        Journal.IsOverloaded.ShouldBeFalse();
        await Journal.DisposeAsync();
        _store.Rows.Count.ShouldBe(rows.Count);
    }

    [Fact]
    public async Task What_was_written_is_told_each_time_it_passes_a_bound()
    {
        var calls = 0;
        Journal.OnWritten(100_000, () => calls++);
        for (var i = 0; i < 4; i++)
        {
            await RecordStrictlyAsync(Rows.Invocation() with { Result = new byte[60_000] });
        }

        calls.ShouldBe(2);
    }

    [Fact]
    public async Task A_store_that_refuses_everything_loses_nothing()
    {
        var row = Rows.Invocation();
        var recording = Journal.RecordAsync(row, strict: true, default).AsTask();

        // Three times as a batch, twice alone, once without what it carried; and then again, whole.
        for (var attempt = 0; attempt < 6; attempt++)
        {
            (await _store.NextAsync()).Gate.TrySetException(new NotSupportedException("no"));
            if (attempt is not (2 or 4))
            {
                await PendingTimersAsync(1);
                _time.Advance(TimeSpan.FromSeconds(5));
            }
        }

        var again = await _store.NextAsync();
        again.Rows.ShouldBe([row]);
        again.Pass();
        await recording;
    }

    [Fact]
    public async Task A_store_that_cannot_be_reached_is_never_given_rows_one_by_one()
    {
        var rows = Rows.Invocations(2);
        await RecordAsync([.. rows]);
        _time.Advance(Window);
        for (var attempt = 0; attempt < 8; attempt++)
        {
            var append = await _store.NextAsync();
            append.Rows.ShouldBe(rows);
            append.Gate.TrySetException(attempt % 2 == 0 ? new DatabaseException("full") : new IOException("gone"));
            await PendingTimersAsync(1);
            _time.Advance(TimeSpan.FromSeconds(5));
        }

        var last = await _store.NextAsync();
        last.Rows.ShouldBe(rows);
        last.Pass();
    }

    [Fact]
    public async Task A_cancelled_wait_for_room_is_not_recorded()
    {
        _journal = New(new JournalOptions { MaxRows = 1 });
        using var cancelled = new CancellationTokenSource();
        await RecordAsync(Rows.Invocation());
        var waiting = Journal.RecordAsync(Rows.Invocation(), strict: true, cancelled.Token).AsTask();
        await cancelled.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => waiting);
        _time.Advance(Window);
        (await _store.NextAsync()).Pass();
        await Journal.DisposeAsync();
        _store.Rows.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Disposal_writes_all_that_waits_and_then_refuses()
    {
        _journal = New(new JournalOptions { MaxRows = 2, BatchRows = 2 });
        var rows = Rows.Invocations(5);
        var recordings = rows.Select(row => Journal.RecordAsync(row, strict: true, default).AsTask()).ToList();
        await _store.NextAsync();
        var disposal = Journal.DisposeAsync().AsTask();
        _store.Open();
        await disposal;
        await Task.WhenAll(recordings);
        _store.Rows.Count.ShouldBe(5);
        await Should.ThrowAsync<ObjectDisposedException>(() => Journal.RecordAsync(Rows.Invocation(), strict: false, default).AsTask());
        await Journal.DisposeAsync();
    }

    [Fact]
    public async Task Disposal_gives_up_on_a_dead_store_after_its_time_and_tells_strict_callers()
    {
        _journal = New(new JournalOptions { ShutdownTimeout = TimeSpan.FromSeconds(10), MaxRows = 2 });
        var strict = Journal.RecordAsync(Rows.Invocation(), strict: true, default).AsTask();
        await RecordAsync(Rows.Invocation());
        var roomless = Journal.RecordAsync(Rows.Invocation(), strict: false, default).AsTask();
        await _store.NextAsync();

        var disposal = Journal.DisposeAsync().AsTask();
        _time.Advance(TimeSpan.FromSeconds(9));
        disposal.IsCompleted.ShouldBeFalse();
        _time.Advance(TimeSpan.FromSeconds(1));
        await disposal;

        await Should.ThrowAsync<DatabaseException>(() => strict);
        await Should.ThrowAsync<DatabaseException>(() => roomless);
        _journal = null;
    }

    [Fact]
    public async Task A_row_that_could_not_be_stored_is_refused_at_once()
    {
        await Should.ThrowAsync<ArgumentException>(() => Journal.RecordAsync(Rows.Invocation() with { Id = "x" }, strict: false, default).AsTask());
        await Should.ThrowAsync<ArgumentException>(() => Journal.RecordAsync(Rows.Invocation(status: "DONE"), strict: false, default).AsTask());
        _time.Pending.ShouldBe(0);
    }

    [Fact]
    public async Task Odd_text_reads_alike_before_and_after_the_commit()
    {
        var row = Rows.Invocation() with { ErrorJson = "a\0\ud800" };
        await RecordAsync(row);
        (await Journal.GetAsync("default", row.Id, default))!.ErrorJson.ShouldBe("a\ufffd\ufffd");
    }

    private InvocationJournal New(JournalOptions options) => new(_store, options, _time, NullLogger<InvocationJournal>.Instance);

    private async Task RecordAsync(params InvocationRow[] rows)
    {
        foreach (var row in rows)
        {
            var recording = Journal.RecordAsync(row, strict: false, default).AsTask();
            recording.IsCompletedSuccessfully.ShouldBeTrue();
            await recording;
        }
    }

    private async Task RecordStrictlyAsync(InvocationRow row)
    {
        var recording = Journal.RecordAsync(row, strict: true, default).AsTask();
        (await _store.NextAsync()).Pass();
        await recording;
    }

    private async Task SeesAsync(InvocationRow row)
    {
        (await Journal.GetAsync(row.TenantId, row.Id, default)).ShouldBe(row);
        (await Journal.ListAsync(new() { TenantId = row.TenantId }, default)).Rows.ShouldHaveSingleItem().Id.ShouldBe(row.Id);
    }

    [Fact]
    public async Task Pages_by_number_are_those_of_store_and_buffer_together()
    {
        var rows = Rows.Invocations(30);
        // Buffered: the newest five, and some between what is stored.
        static bool Buffered(int i) => i is >= 25 or 3 or 4 or 11;
        _store.Keep(rows.Where((_, i) => !Buffered(i)));
        await RecordAsync([.. rows.Where((_, i) => Buffered(i))]);

        var all = rows.Select(row => row.Id).Reverse().ToList();
        for (var offset = 0; offset <= 31; offset++)
        {
            var page = await Journal.ListAsync(new() { TenantId = "default", Offset = offset, Limit = 4 }, default);
            page.Rows.Select(row => row.Id).ShouldBe(all.Skip(offset).Take(4), $"offset {offset}");
            page.HasMore.ShouldBe(offset + 4 < 30, $"offset {offset}");
        }
    }

    private async Task ListsAsync(InvocationQuery query, params InvocationRow[] expected) =>
        (await Journal.ListAsync(query, default)).Rows.Select(row => row.Id).ShouldBe(expected.Select(row => row.Id), query.ToString());

    /// <summary>The retry's timer is made by another thread a moment after the failure.</summary>
    private async Task PendingTimersAsync(int count)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (_time.Pending != count)
        {
            limit.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
