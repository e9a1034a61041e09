using System.Threading.Channels;
using Flint.Data.Queue;

namespace Flint.Data.Tests.Queue;

/// <summary>Notices within a process, and what of them would go to other servers.</summary>
public sealed class NoticeTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Subscribers_are_told_what_they_asked_for()
    {
        var notices = new QueueNotices();
        using var work = notices.Subscribe(NoticeKinds.Work);
        using var ends = notices.Subscribe(NoticeKinds.Finished | NoticeKinds.Cancelled);
        var waiting = ends.ReadAsync(default);
        notices.WorkAdded();
        notices.Changed("x");
        notices.Finished([]);
        waiting.IsCompleted.ShouldBeFalse();
        notices.Finished(["a", "b"]);

        var read = await waiting.WaitAsync(Patience);
        (read.Work, read.Missed, read.Cancelled.Count, read.Changed.Count).ShouldBe((false, NoticeKinds.None, 0, 0));
        read.Finished.Order().ShouldBe(["a", "b"]);
        (await ReadAsync(work)).Work.ShouldBeTrue();
        notices.Healthy.ShouldBeTrue();
    }

    [Fact]
    public async Task What_nobody_reads_is_gathered_and_then_missed()
    {
        var notices = new QueueNotices();
        using var slow = notices.Subscribe(NoticeKinds.All, capacity: 3);
        notices.WorkAdded();
        notices.Finished(["a", "b"]);
        notices.Finished(["b", "c"]);
        notices.Cancelled(["z"]);
        notices.Finished(["c", "d"]);

        var read = await ReadAsync(slow);
        read.Finished.Order().ShouldBe(["a", "b", "c"]);
        read.Missed.ShouldBe(NoticeKinds.Finished);
        (read.Work, read.Cancelled.Single()).ShouldBe((true, "z"));
        slow.ReadAsync(new CancellationToken(canceled: true)).IsCanceled.ShouldBeTrue();

        notices.Finished(["e"]);
        (await ReadAsync(slow)).ShouldSatisfyAllConditions(next => next.Finished.ShouldBe(["e"]), next => next.Missed.ShouldBe(NoticeKinds.None));
    }

    [Fact]
    public async Task A_subscription_that_ended_is_told_nothing()
    {
        var notices = new QueueNotices();
        var ended = notices.Subscribe(NoticeKinds.All);
        using var other = notices.Subscribe(NoticeKinds.All);
        ended.Dispose();
        notices.WorkAdded();
        (await ReadAsync(other)).Work.ShouldBeTrue();
        ended.ReadAsync(default).IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task A_change_of_health_wakes_everybody()
    {
        var notices = new QueueNotices();
        using var subscription = notices.Subscribe(NoticeKinds.Cancelled);
        notices.Report("gone");
        (notices.Healthy, notices.Problem).ShouldBe((false, "gone"));
        (await ReadAsync(subscription)).Missed.ShouldBe(NoticeKinds.Cancelled);
        notices.Report("still gone");
        notices.Report(null);
        (await ReadAsync(subscription)).Missed.ShouldBe(NoticeKinds.Cancelled);
        notices.Healthy.ShouldBeTrue();
    }

    [Fact]
    public async Task The_first_notice_of_a_kind_goes_at_once_and_the_next_together()
    {
        var time = new ManualTime();
        var sent = Channel.CreateUnbounded<NoticeMessage>();
        await using var sender = new NoticeSender(WriteTo(sent, _ => true), time);
        sender.Add(NoticeKinds.Finished, ["a"]);
        (await NextAsync(sent)).Ids.ShouldBe(["a"]);
        sender.Add(NoticeKinds.Finished, ["b"]);
        sender.Add(NoticeKinds.Finished, ["c", "b"]);
        await TimersAsync(time);
        time.Advance(NoticeSender.Interval - TimeSpan.FromMilliseconds(1));
        sent.Reader.Count.ShouldBe(0);
        time.Advance(TimeSpan.FromMilliseconds(1));
        (await NextAsync(sent)).Ids.Order().ShouldBe(["b", "c"]);

        // Nothing waits: no timer is left, and another kind does not wait for this one's.
        sender.Add(NoticeKinds.Work, []);
        (await NextAsync(sent)).Kind.ShouldBe(NoticeKinds.Work);
        time.Pending.ShouldBe(0);
    }

    [Fact]
    public async Task Too_many_ids_for_one_message_are_many()
    {
        var time = new ManualTime();
        var sent = Channel.CreateUnbounded<NoticeMessage>();
        await using var sender = new NoticeSender(WriteTo(sent, _ => true), time);
        var ids = Enumerable.Range(0, NoticeSender.MostIds).Select(_ => Guid.CreateVersion7().ToString("D")).ToList();
        sender.Add(NoticeKinds.Changed, ids);
        var most = await NextAsync(sent);
        most.Many.ShouldBeFalse();
        NoticeText.Of(NoticeText.NewOrigin(), most).Length.ShouldBeLessThan(8000);

        sender.Add(NoticeKinds.Changed, ids);
        sender.Add(NoticeKinds.Changed, ["one more"]);
        await TimersAsync(time);
        time.Advance(NoticeSender.Interval);
        (await NextAsync(sent)).ShouldSatisfyAllConditions(message => message.Many.ShouldBeTrue(), message => message.Ids.ShouldBeEmpty());
    }

    [Fact]
    public async Task What_could_not_be_sent_is_told_later_as_many()
    {
        var time = new ManualTime();
        var sent = Channel.CreateUnbounded<NoticeMessage>();
        var works = false;
        await using var sender = new NoticeSender(WriteTo(sent, _ => works), time);
        sender.Add(NoticeKinds.Cancelled, ["a"]);
        (await NextAsync(sent)).Ids.ShouldBe(["a"]);
        await TimersAsync(time);
        works = true;
        time.Advance(TimeSpan.FromSeconds(1));
        (await NextAsync(sent)).ShouldSatisfyAllConditions(message => message.Kind.ShouldBe(NoticeKinds.Cancelled), message => message.Many.ShouldBeTrue());
    }

    [Fact]
    public void Texts_are_read_by_others_and_passed_over_by_their_sender()
    {
        var (mine, other) = (NoticeText.NewOrigin(), NoticeText.NewOrigin());
        var ids = new[] { Guid.CreateVersion7().ToString("D"), Guid.CreateVersion7().ToString("D") };
        foreach (var kind in new[] { NoticeKinds.Work, NoticeKinds.Finished, NoticeKinds.Cancelled, NoticeKinds.Changed })
        {
            var text = NoticeText.Of(mine, new NoticeMessage(kind, false, ids));
            NoticeText.Parse(text, mine).ShouldBeNull();
            var read = NoticeText.Parse(text, other)!;
            (read.Kind, read.Many).ShouldBe((kind, false));
            read.Ids.ShouldBe(ids);
        }

        NoticeText.Parse(NoticeText.Of(mine, new NoticeMessage(NoticeKinds.Finished, true, [])), other)!.Many.ShouldBeTrue();
        NoticeText.Parse(NoticeText.Of(mine, new NoticeMessage(NoticeKinds.Finished, false, ["no id"])), other)!.Many.ShouldBeTrue();
        NoticeText.ProofIn(NoticeText.OfProof(mine, "n"), mine).ShouldBe("n");
        NoticeText.ProofIn(NoticeText.OfProof(mine, "n"), other).ShouldBeNull();
        foreach (var strange in new[] { "", "x", mine, mine + "?", mine + "pn", mine + "f" + new string('!', 22), mine + "fabc" })
        {
            NoticeText.Parse(strange, other)?.Ids.ShouldBeEmpty();
        }
    }

    private static Func<IReadOnlyList<NoticeMessage>, CancellationToken, Task<bool>> WriteTo(Channel<NoticeMessage> sent, Func<NoticeMessage, bool> works) => (messages, _) =>
    {
        var good = messages.All(works);
        foreach (var message in messages)
        {
            sent.Writer.TryWrite(message);
        }

        return Task.FromResult(good);
    };

    private static Task<Notices> ReadAsync(NoticeSubscription subscription) => subscription.ReadAsync(default).WaitAsync(Patience);

    private static Task<NoticeMessage> NextAsync(Channel<NoticeMessage> sent) => sent.Reader.ReadAsync().AsTask().WaitAsync(Patience);

    /// <summary>The sender waits for time to pass.</summary>
    private static async Task TimersAsync(ManualTime time)
    {
        using var limit = new CancellationTokenSource(Patience);
        while (time.Pending == 0)
        {
            limit.Token.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }
}
