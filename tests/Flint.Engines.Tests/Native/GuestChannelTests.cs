using System.Net.Sockets;
using Flint.Engines.Native;
using Flint.TestKit.Guest;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native;

public sealed class GuestChannelTests : IDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);
    private readonly GuestPollers _pollers = new(answersInline: false, NullLogger<GuestPollers>.Instance);
    private readonly GuestChannel _channel;
    private readonly Socket _guest;

    public GuestChannelTests()
    {
        var (mine, guests) = TestLibc.SocketPair();
        _channel = new GuestChannel(_pollers, mine);
        _guest = new Socket(new SafeSocketHandle(guests, ownsHandle: true));
    }

    public void Dispose()
    {
        _guest.Dispose();
        _channel.Dispose();
        _pollers.Dispose();
    }

    [Fact]
    public async Task A_read_that_waits_gets_what_comes()
    {
        var buffer = new byte[16];
        for (byte i = 1; i <= 50; i++)
        {
            var read = _channel.ReadAsync(buffer);
            _guest.Send([i, i]);
            (await Within(read)).ShouldBe(2);
            buffer[1].ShouldBe(i);
        }
    }

    [Fact]
    public async Task What_came_before_the_read_is_there_at_once_however_small_the_buffer()
    {
        _guest.Send([1, 2, 3, 4, 5]);
        var buffer = new byte[2];
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(2);
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(2);
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(1);
        buffer[0].ShouldBe((byte)5);
    }

    [Fact]
    public async Task The_end_is_seen_after_what_was_sent_before_it()
    {
        var buffer = new byte[16];
        var read = _channel.ReadAsync(buffer);
        _guest.Send([1, 2, 3]);
        (await Within(read)).ShouldBe(3);
        _guest.Send([4]);
        _guest.Close();
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(1);
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(0);
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(0);
    }

    [Fact]
    public async Task Bytes_and_end_that_came_together_are_both_read()
    {
        _guest.Send([1, 2, 3]);
        _guest.Close();
        var buffer = new byte[16];
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(3);
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(0);
    }

    [Fact]
    public async Task More_than_there_is_room_for_is_written_as_the_guest_takes_it()
    {
        var sent = new byte[3_000_000];
        Random.Shared.NextBytes(sent);
        var writing = _channel.WriteAsync(sent).AsTask();
        writing.IsCompleted.ShouldBeFalse();
        var taken = new byte[sent.Length];
        for (var total = 0; total < taken.Length;)
        {
            total += await Within(_guest.ReceiveAsync(taken.AsMemory(total)));
        }

        await writing.WaitAsync(Limit);
        taken.ShouldBe(sent);

        var read = _channel.ReadAsync(new byte[4]);
        _guest.Send([7]);
        (await Within(read)).ShouldBe(1);
    }

    [Fact]
    public async Task A_cancelled_read_ends_and_leaves_what_comes_later_to_the_next()
    {
        using var cancelling = new CancellationTokenSource();
        var buffer = new byte[4];
        var read = _channel.ReadAsync(buffer, cancelling.Token);
        await cancelling.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => Within(read));
        await Should.ThrowAsync<OperationCanceledException>(() => Within(_channel.ReadAsync(buffer, cancelling.Token)));
        _guest.Send([9]);
        (await Within(_channel.ReadAsync(buffer))).ShouldBe(1);
    }

    [Fact]
    public async Task A_cancelled_write_that_waits_for_room_ends()
    {
        using var cancelling = new CancellationTokenSource();
        var writing = _channel.WriteAsync(new byte[3_000_000], cancelling.Token).AsTask();
        await cancelling.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => writing.WaitAsync(Limit));
    }

    [Fact]
    public async Task Closing_it_ends_whoever_waits()
    {
        var read = _channel.ReadAsync(new byte[4]);
        var writing = _channel.WriteAsync(new byte[3_000_000]).AsTask();
        _channel.Dispose();
        await Should.ThrowAsync<ObjectDisposedException>(() => Within(read));
        await Should.ThrowAsync<ObjectDisposedException>(() => writing.WaitAsync(Limit));
        await Should.ThrowAsync<ObjectDisposedException>(() => Within(_channel.ReadAsync(new byte[4])));
        Should.Throw<ObjectDisposedException>(() => _channel.WriteAsync(new byte[1]).AsTask());
    }

    [Fact]
    public async Task A_guest_that_is_gone_breaks_what_is_written()
    {
        var writing = _channel.WriteAsync(new byte[3_000_000]).AsTask();
        _guest.Close();
        await Should.ThrowAsync<IOException>(() => writing.WaitAsync(Limit));
    }

    [Fact]
    public async Task A_muted_one_is_silent_unless_somebody_waits()
    {
        var read = _channel.ReadAsync(new byte[4]);
        _channel.Mute();
        _guest.Send([1]);
        (await Within(read)).ShouldBe(1);
        _channel.Mute();
        await Should.ThrowAsync<IOException>(() => Within(_channel.ReadAsync(new byte[4])));
        _guest.Send([2]);
        // It was not asked when it said that nothing was there, and is not told of this.
        await Should.ThrowAsync<IOException>(() => Within(_channel.ReadAsync(new byte[4])));
    }

    private static Task<int> Within(ValueTask<int> read) => read.AsTask().WaitAsync(Limit);
}
