using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native.Egress;

/// <summary>
/// Answers the sandboxes' DNS questions by asking the host's resolvers, which sandboxes cannot reach: it passes messages on and reads no more of them than
/// their header and question. So many at a time, so many of one sandbox; what is beyond is dropped, as a busy server does. Ends with its sockets.
/// </summary>
internal sealed partial class DnsForwarder : IAsyncDisposable
{
    private const int MaxQuestionBytes = 4096;
    private const int MaxUdpAnswerBytes = 4096; // what most servers send at most; longer ones are asked for over TCP
    private const int UdpPlaces = 128;
    private const int UdpPlacesPerSandbox = 32;
    private const int TcpPlaces = 32;
    private const int TcpPlacesPerSandbox = 4;
    private const int QuestionsPerConnection = 100;
    /// <summary>Of one resolver; libc in a sandbox waits 3 seconds for all of them and asks twice.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan ConnectionLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PauseAfterFailure = TimeSpan.FromSeconds(1);
    private readonly Socket _udp;
    private readonly Socket _tcp;
    private readonly DnsResolvers _resolvers;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly DnsLimits _udpLimits = new(UdpPlacesPerSandbox);
    private readonly DnsLimits _tcpLimits = new(TcpPlacesPerSandbox);
    private readonly CancellationTokenSource _stopping = new();
    private readonly Task _places;

    /// <param name="udp">Bound where the sandboxes ask.</param>
    /// <param name="tcp">Listening where the sandboxes ask.</param>
    /// <param name="resolvers">Who knows.</param>
    /// <param name="time">For limits of time.</param>
    /// <param name="logger">Hears of failures of this host's side only: names are the functions' own business.</param>
    public DnsForwarder(Socket udp, Socket tcp, DnsResolvers resolvers, TimeProvider time, ILogger logger)
    {
        (_udp, _tcp, _resolvers, _time, _logger) = (udp, tcp, resolvers, time, logger);
        _places = Task.WhenAll(
            Enumerable.Range(0, UdpPlaces).Select(_ => RepeatAsync(ServeUdpAsync))
                .Concat(Enumerable.Range(0, TcpPlaces).Select(_ => RepeatAsync(ServeTcpAsync))));
    }

    /// <summary>Completes when nothing is served any more.</summary>
    public Task Ended => _places;

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await _places;
        _stopping.Dispose();
    }

    /// <summary>One place: serves one question or connection after the other. A broken socket must not spin, and one sandbox's broken connection ends no place.</summary>
    private async Task RepeatAsync(Func<CancellationToken, Task> serve)
    {
        var token = _stopping.Token;
        while (!token.IsCancellationRequested)
        {
            try
            {
                await serve(token);
            }
            catch (Exception exception) when (IsEnd(exception, token))
            {
                return;
            }
            catch (Exception exception)
            {
                LogPlaceFailed(_logger, exception);
                await Task.Delay(PauseAfterFailure, _time, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task ServeUdpAsync(CancellationToken cancellationToken)
    {
        var question = new byte[MaxQuestionBytes];
        var answer = new byte[MaxUdpAnswerBytes + 1];
        var anyone = new IPEndPoint(IPAddress.Any, 0);
        while (true)
        {
            var received = await _udp.ReceiveFromAsync(question, anyone, cancellationToken);
            var asker = (IPEndPoint)received.RemoteEndPoint;
            var asked = question.AsMemory(0, received.ReceivedBytes);
            if (!DnsMessage.IsQuestion(asked.Span) || !_udpLimits.TryEnter(asker.Address))
            {
                continue;
            }

            try
            {
                await ReplyAsync(await AnswerUdpAsync(asked, answer, cancellationToken), asker, cancellationToken);
            }
            finally
            {
                _udpLimits.Leave(asker.Address);
            }
        }
    }

    private async Task ReplyAsync(ReadOnlyMemory<byte> answer, IPEndPoint asker, CancellationToken cancellationToken)
    {
        try
        {
            await _udp.SendToAsync(answer, asker, cancellationToken);
        }
        catch (SocketException)
        {
            // The sandbox is gone.
        }
    }

    private async Task<ReadOnlyMemory<byte>> AnswerUdpAsync(Memory<byte> question, Memory<byte> answer, CancellationToken cancellationToken)
    {
        if (DnsMessage.IsTransfer(question.Span))
        {
            return question[..DnsMessage.WriteError(question.Span, DnsMessage.Refused)];
        }

        foreach (var resolver in _resolvers.Current)
        {
            using var limit = Limit(AnswerLimit, cancellationToken, out var timer);
            using (timer)
            {
                try
                {
                    return answer[..await DnsExchange.AskUdpAsync(resolver, question, answer, limit.Token)];
                }
                catch (Exception exception) when (IsResolvers(exception, cancellationToken))
                {
                    LogNoAnswer(_logger, resolver);
                }
            }
        }

        return question[..DnsMessage.WriteError(question.Span, DnsMessage.ServerFailure)];
    }

    private async Task ServeTcpAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            using var connection = await _tcp.AcceptAsync(cancellationToken);
            if (connection.RemoteEndPoint is not IPEndPoint asker || !_tcpLimits.TryEnter(asker.Address))
            {
                continue;
            }

            try
            {
                await ServeConnectionAsync(connection, cancellationToken);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested && exception is IOException or SocketException or OperationCanceledException)
            {
                // The sandbox ended its connection in the middle, or dawdled.
            }
            finally
            {
                _tcpLimits.Leave(asker.Address);
            }
        }
    }

    private async Task ServeConnectionAsync(Socket connection, CancellationToken cancellationToken)
    {
        await using var stream = new NetworkStream(connection);
        var prefix = new byte[sizeof(ushort)];
        for (var asked = 0; asked < QuestionsPerConnection; asked++)
        {
            using var limit = Limit(ConnectionLimit, cancellationToken, out var timer);
            using (timer)
            {
                await stream.ReadExactlyAsync(prefix, limit.Token);
                var length = BinaryPrimitives.ReadUInt16BigEndian(prefix);
                if (length > MaxQuestionBytes)
                {
                    return;
                }

                var question = new byte[length];
                await stream.ReadExactlyAsync(question, limit.Token);
                if (!DnsMessage.IsQuestion(question))
                {
                    return;
                }

                await stream.WriteAsync(await AnswerTcpAsync(question, cancellationToken), limit.Token);
            }
        }
    }

    private async Task<byte[]> AnswerTcpAsync(byte[] question, CancellationToken cancellationToken)
    {
        foreach (var resolver in DnsMessage.IsTransfer(question) ? [] : _resolvers.Current)
        {
            using var limit = Limit(AnswerLimit, cancellationToken, out var timer);
            using (timer)
            {
                try
                {
                    return await DnsExchange.AskTcpAsync(resolver, question, limit.Token);
                }
                catch (Exception exception) when (IsResolvers(exception, cancellationToken))
                {
                    LogNoAnswer(_logger, resolver);
                }
            }
        }

        var code = DnsMessage.IsTransfer(question) ? DnsMessage.Refused : DnsMessage.ServerFailure;
        var length = DnsMessage.WriteError(question, code);
        var answer = new byte[sizeof(ushort) + length];
        BinaryPrimitives.WriteUInt16BigEndian(answer, (ushort)length);
        question.AsSpan(0, length).CopyTo(answer.AsSpan(sizeof(ushort)));
        return answer;
    }

    // Ours, or the sockets' by the hand of the launcher's session.
    private static bool IsEnd(Exception exception, CancellationToken stopping) =>
        exception is ObjectDisposedException or SocketException { SocketErrorCode: SocketError.OperationAborted }
        || (stopping.IsCancellationRequested && exception is OperationCanceledException or SocketException);

    private CancellationTokenSource Limit(TimeSpan limit, CancellationToken cancellationToken, out CancellationTokenSource timer)
    {
        timer = new CancellationTokenSource(limit, _time);
        return CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
    }

    // Silence, a refusal, a wrong answer: the next resolver may do better.
    private static bool IsResolvers(Exception exception, CancellationToken cancellationToken) =>
        !cancellationToken.IsCancellationRequested && exception is OperationCanceledException or SocketException or IOException or InvalidDataException;

    [LoggerMessage(4051, LogLevel.Debug, "The resolver {Resolver} did not answer")]
    private static partial void LogNoAnswer(ILogger logger, IPEndPoint resolver);

    [LoggerMessage(4052, LogLevel.Warning, "Sandboxes' DNS questions cannot be read")]
    private static partial void LogPlaceFailed(ILogger logger, Exception exception);
}
