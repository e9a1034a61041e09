using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Flint.Engines.Native.Egress;
using Flint.TestKit.Time;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Engines.Tests.Native.Egress;

public sealed class DnsForwarderTests : IAsyncDisposable
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private readonly ManualTimeProvider _time = new();
    private readonly FakeResolver _first = new();
    private readonly FakeResolver _second = new();
    private readonly Socket _asker = NewUdp(IPAddress.Loopback);
    private readonly DnsAskers _askers = new();
    private DnsForwarder? _forwarder;
    private DnsSockets? _sockets;
    private IPEndPoint _udp = null!;
    private IPEndPoint _tcp = null!;

    public async ValueTask DisposeAsync()
    {
        if (_forwarder is not null)
        {
            await _forwarder.DisposeAsync().AsTask().WaitAsync(Limit);
        }

        _sockets?.Dispose();
        _asker.Dispose();
        _first.Dispose();
        _second.Dispose();
    }

    [Fact]
    public async Task An_answer_comes_back_as_the_resolver_gave_it()
    {
        Start(_first);
        var question = FakeResolver.Question("example.com");

        (await AskAsync(question)).ShouldBe(FakeResolver.Reply(question));
    }

    [Fact]
    public async Task Each_question_is_asked_with_an_id_and_a_port_of_its_own()
    {
        Start(_first);
        var question = FakeResolver.Question("example.com", id: 7);
        var ids = new HashSet<int>();
        var ports = new HashSet<int>();
        for (var i = 0; i < 16; i++)
        {
            await AskAsync(question);
            var (message, from) = await _first.Asked.ReadAsync(CancellationToken.None);
            ids.Add(BinaryPrimitives.ReadUInt16BigEndian(message));
            ports.Add(((IPEndPoint)from).Port);
            message[2..].ShouldBe(question[2..]);
        }

        ids.Count.ShouldBeGreaterThan(12); // 16 draws of 65536
        ports.Count.ShouldBeGreaterThan(8);
    }

    [Fact]
    public async Task What_does_not_answer_the_question_is_passed_over()
    {
        var question = FakeResolver.Question("Example.com");
        _first.Answer = static sent =>
        [
            [],
            sent[..8],
            sent, // not an answer
            FakeResolver.Reply([(byte)(sent[0] ^ 1), .. sent[1..]]), // of another id
            FakeResolver.Reply([.. sent[..2], .. FakeResolver.Question("evil.com")[2..]]),
            FakeResolver.Reply([.. sent[..2], .. FakeResolver.Question("example.com", type: 16)[2..]]),
            FakeResolver.Reply([.. sent[..2], .. FakeResolver.Question("exAMPLE.com")[2..]], more: 3),
        ];
        Start(_first);

        (await AskAsync(question)).ShouldBe(FakeResolver.Reply(FakeResolver.Question("exAMPLE.com"), more: 3));
    }

    [Fact]
    public async Task Nobody_else_can_answer_for_the_resolver()
    {
        _first.Answer = static _ => [];
        Start(_first);
        var question = FakeResolver.Question("example.com");
        await _asker.SendToAsync(question, _udp);
        var (message, from) = await _first.Asked.ReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit);

        _second.Send(FakeResolver.Reply(message, more: 1), from); // with the right id, from another address
        _first.Send(FakeResolver.Reply(message, more: 2), from);

        (await ReceiveAsync()).ShouldBe(FakeResolver.Reply(question, more: 2));
    }

    [Fact]
    public async Task A_silent_resolver_is_followed_by_the_next_and_then_by_an_error()
    {
        _first.Answer = static _ => [];
        Start(_first, _second);
        var question = FakeResolver.Question("example.com");

        await _asker.SendToAsync(question, _udp);
        await _first.Asked.ReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit);
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(2));
        _time.Advance(2000);
        (await ReceiveAsync()).ShouldBe(FakeResolver.Reply(question));

        _second.Answer = static _ => [];
        await _asker.SendToAsync(question, _udp);
        foreach (var resolver in (FakeResolver[])[_first, _second])
        {
            while (await resolver.Asked.WaitToReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit) && resolver.Asked.TryRead(out _) && resolver.Asked.TryPeek(out _))
            {
            }

            await _time.WaitForTimerAsync(TimeSpan.FromSeconds(2));
            _time.Advance(2000);
        }

        var failure = await ReceiveAsync();
        (failure[3] & 0xf).ShouldBe(2); // SERVFAIL
        failure[12..].ShouldBe(question[12..]);
    }

    [Fact]
    public async Task Without_any_resolver_it_says_so_at_once()
    {
        Start();
        ((await AskAsync(FakeResolver.Question("example.com")))[3] & 0xf).ShouldBe(2);
    }

    [Fact]
    public async Task An_answer_too_long_for_a_packet_is_asked_for_over_tcp()
    {
        _first.Answer = static question => [FakeResolver.Reply(question, more: 5000)];
        _first.AnswerTcp = static question => FakeResolver.Reply(question, more: 60_000);
        Start(_first);
        var question = FakeResolver.Question("example.com");

        var truncated = await AskAsync(question);
        (truncated[2] & 2).ShouldBe(2);
        truncated.Length.ShouldBe(question.Length);
        (await AskTcpAsync(question)).ShouldBe(FakeResolver.Reply(question, more: 60_000));
    }

    [Fact]
    public async Task Over_tcp_another_questions_answer_is_an_error()
    {
        _first.AnswerTcp = static question => FakeResolver.Reply([.. question[..2], .. FakeResolver.Question("evil.com")[2..]]);
        Start(_first);
        ((await AskTcpAsync(FakeResolver.Question("example.com")))[3] & 0xf).ShouldBe(2);
    }

    [Fact]
    public async Task What_is_no_question_is_dropped_and_zones_are_refused()
    {
        Start(_first);
        var good = FakeResolver.Question("example.com");
        byte[][] bad =
        [
            [], [1], good[..11], good[..^1],
            FakeResolver.Reply(good), // an answer
            [.. good[..2], 0x28, .. good[3..]], // an update
            [.. good[..5], 0, .. good[6..]], // no question
            [.. good[..5], 2, .. good[6..]], // two
            [.. good[..7], 1, .. good[8..]], // answered already
            [.. good[..12], 0xc0, 12, 0, 1, 0, 1], // a name that points at itself
            [.. good[..12], 200, .. good[13..]],
            [.. good[..12], .. Enumerable.Repeat((byte[])[63, .. new byte[63].Select(_ => (byte)'a')], 5).SelectMany(static label => label), 0, 0, 1, 0, 1],
            new byte[4097],
        ];
        foreach (var message in bad)
        {
            await _asker.SendToAsync(message, _udp);
        }

        (await AskAsync(good)).ShouldBe(FakeResolver.Reply(good));
        _first.Asked.Count.ShouldBe(1);
        foreach (var type in (ushort[])[251, 252])
        {
            ((await AskAsync(FakeResolver.Question("example.com", type: type)))[3] & 0xf).ShouldBe(5); // REFUSED
            ((await AskTcpAsync(FakeResolver.Question("example.com", type: type)))[3] & 0xf).ShouldBe(5);
        }

        _first.Asked.Count.ShouldBe(1);
    }

    [Fact]
    public async Task One_sandbox_has_so_many_questions_at_a_time_and_hears_at_once_of_the_rest()
    {
        _first.Answer = AnswerOthers;
        Start(_first);
        for (var i = 0; i < 100; i++)
        {
            await _asker.SendToAsync(FakeResolver.Question($"slow{i}.com", id: (ushort)i), _udp);
            if (i >= DnsForwarder.UdpPlacesPerSandbox)
            {
                var failure = await ReceiveAsync();
                (failure[1], failure[3] & 0xf).ShouldBe(((byte)i, 2)); // SERVFAIL
            }
        }

        await ShouldBeServedAsync(IPAddress.Parse("127.0.0.2"));
        for (var i = 0; i < DnsForwarder.UdpPlacesPerSandbox; i++)
        {
            (await _first.Asked.ReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit)).Message[13].ShouldBe((byte)'s');
        }

        (await _first.Asked.ReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit)).Message[13].ShouldBe((byte)'o');
        _first.Asked.Count.ShouldBe(0);
    }

    [Fact]
    public async Task A_function_with_many_sandboxes_leaves_room_for_others_over_udp_and_tcp()
    {
        _first.Answer = AnswerOthers;
        Start(_first);
        List<Socket> hostile = [];
        try
        {
            for (var sandbox = 1; sandbox <= 60; sandbox++)
            {
                var address = IPAddress.Parse($"127.0.1.{sandbox}");
                _askers.Add(address, "hostile");
                var udp = NewUdp(address);
                hostile.Add(udp);
                for (var i = 0; i < 40; i++)
                {
                    await udp.SendToAsync(FakeResolver.Question($"slow{i}.com"), _udp);
                }

                for (var i = 0; i < 4; i++)
                {
                    var tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    hostile.Add(tcp);
                    tcp.Bind(new IPEndPoint(address, 0));
                    await tcp.ConnectAsync(_tcp);
                }
            }

            for (var i = 0; i < DnsForwarder.UdpPlaces / 5; i++)
            {
                await _first.Asked.ReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit);
            }

            await ShouldBeServedAsync(IPAddress.Parse("127.0.0.2"));
            (await AskTcpAsync(FakeResolver.Question("other.com"))).ShouldBe(FakeResolver.Reply(FakeResolver.Question("other.com")));
        }
        finally
        {
            hostile.ForEach(static socket => socket.Dispose());
        }
    }

    [Fact]
    public async Task Places_are_free_again_once_questions_are_answered()
    {
        Start(_first);
        for (var i = 0; i < 3 * DnsForwarder.UdpPlacesPerSandbox; i++)
        {
            ((await AskAsync(FakeResolver.Question("example.com")))[3] & 0xf).ShouldBe(0);
            ((await AskTcpAsync(FakeResolver.Question("example.com")))[3] & 0xf).ShouldBe(0);
        }
    }

    [Fact]
    public async Task It_ends_while_questions_are_under_way()
    {
        _first.Answer = static _ => [];
        Start(_first);
        using var idle = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await idle.ConnectAsync(_tcp);
        await _asker.SendToAsync(FakeResolver.Question("example.com"), _udp);
        await _first.Asked.ReadAsync(CancellationToken.None).AsTask().WaitAsync(Limit);

        await _forwarder!.DisposeAsync().AsTask().WaitAsync(Limit);

        _forwarder = null;
        _time.ActiveTimers.ShouldBe(0);
        (await idle.ReceiveAsync(new byte[1]).WaitAsync(Limit)).ShouldBe(0);
    }

    [Fact]
    public async Task It_ends_with_its_sockets()
    {
        Start(_first);
        await AskAsync(FakeResolver.Question("example.com"));

        _sockets!.Dispose();

        await _forwarder!.Ended.WaitAsync(Limit);
    }

    [Fact]
    public void The_hosts_resolvers_are_read_again_when_they_change()
    {
        var path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, "# comment\nsearch example.com\nnameserver 10.255.255.53\nnameserver\nnameserver not-an-address\n\tnameserver   fe80::1%lo\noptions edns0\n");
            var resolvers = new DnsResolvers([], path, _time);
            resolvers.Current.ShouldBe([new IPEndPoint(IPAddress.Parse("10.255.255.53"), 53), new IPEndPoint(IPAddress.Parse("fe80::1%lo"), 53)]);

            File.WriteAllText(path, "nameserver 1.1.1.1\n");
            resolvers.Current.Count.ShouldBe(2);
            _time.Advance(5000);
            resolvers.Current.ShouldBe([new IPEndPoint(IPAddress.Parse("1.1.1.1"), 53)]);

            File.Delete(path);
            _time.Advance(5000);
            resolvers.Current.ShouldBe([new IPEndPoint(IPAddress.Parse("1.1.1.1"), 53)]);
        }
        finally
        {
            File.Delete(path);
        }
    }

    private void Start(params FakeResolver[] resolvers)
    {
        var udp = NewUdp(IPAddress.Loopback);
        var tcp = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        tcp.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        tcp.Listen();
        _udp = (IPEndPoint)udp.LocalEndPoint!;
        _tcp = (IPEndPoint)tcp.LocalEndPoint!;
        _sockets = new DnsSockets(udp, tcp);
        // No such file: without configured ones there are none.
        var known = new DnsResolvers([.. resolvers.Select(static resolver => resolver.Address)], "/nonexistent/resolv.conf", _time);
        _forwarder = new DnsForwarder(udp, tcp, known, _askers, _time, NullLogger.Instance);
    }

    /// <summary>Never what hostile sandboxes ask.</summary>
    private static IEnumerable<byte[]> AnswerOthers(byte[] question) => question[13] == (byte)'o' ? [FakeResolver.Reply(question)] : [];

    private async Task ShouldBeServedAsync(IPAddress address)
    {
        using var other = NewUdp(address);
        await other.SendToAsync(FakeResolver.Question("other.com"), _udp);
        var buffer = new byte[4096];
        buffer[..await other.ReceiveAsync(buffer).WaitAsync(Limit)].ShouldBe(FakeResolver.Reply(FakeResolver.Question("other.com")));
    }

    private static Socket NewUdp(IPAddress address)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(address, 0));
        return socket;
    }

    private async Task<byte[]> AskAsync(byte[] question)
    {
        await _asker.SendToAsync(question, _udp);
        return await ReceiveAsync();
    }

    private async Task<byte[]> ReceiveAsync()
    {
        var buffer = new byte[65536];
        return buffer[..await _asker.ReceiveAsync(buffer).WaitAsync(Limit)];
    }

    private async Task<byte[]> AskTcpAsync(byte[] question)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(_tcp);
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync((byte[])[(byte)(question.Length >> 8), (byte)question.Length, .. question]);
        var prefix = new byte[2];
        await stream.ReadExactlyAsync(prefix).AsTask().WaitAsync(Limit);
        var answer = new byte[BinaryPrimitives.ReadUInt16BigEndian(prefix)];
        await stream.ReadExactlyAsync(answer).AsTask().WaitAsync(Limit);
        return answer;
    }
}
