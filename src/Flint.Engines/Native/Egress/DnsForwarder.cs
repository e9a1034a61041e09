using System.Buffers;
using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native.Egress;

/// <summary>
/// Answers the sandboxes' DNS questions by asking the host's resolvers, which sandboxes cannot reach: it passes messages on and reads no more of them than
/// their header and question. One reader takes what comes and never waits for an answer; for what finds no place (<see cref="DnsPlaces"/>) it says "server
/// failure" at once, and closes a connection. Ends with its sockets.
/// </summary>
internal sealed partial class DnsForwarder : IAsyncDisposable
{
    /// <summary>Questions over UDP: each has a socket and 8 KB for 2 seconds per resolver at most.</summary>
    internal const int UdpPlaces = 512;
    /// <summary>A name is two questions (A, AAAA), so 16 lookups at once; c-ares and libuv ask four.</summary>
    internal const int UdpPlacesPerSandbox = 32;
    /// <summary>Connections, which come for long answers only and may stay for ten seconds without a word.</summary>
    internal const int TcpPlaces = 128;
    internal const int TcpPlacesPerSandbox = 4;
    private const int MaxQuestionBytes = 4096;
    private const int MaxUdpAnswerBytes = 4096; // what most servers send at most; longer ones are asked for over TCP
    private const int QuestionsPerConnection = 100;
    private const int FailuresWithoutPause = 16;
    private static readonly TimeSpan ConnectionLimit = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PauseAfterFailures = TimeSpan.FromSeconds(1);
    private readonly Socket _udp;
    private readonly Socket _tcp;
    private readonly DnsQuestions _questions;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly DnsPlaces _udpPlaces;
    private readonly DnsPlaces _tcpPlaces;
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _served = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _users = 2; // the two readers and whatever they have let in; the last completes _served

    /// <param name="udp">Bound where the sandboxes ask.</param>
    /// <param name="tcp">Listening where the sandboxes ask.</param>
    /// <param name="resolvers">Who knows.</param>
    /// <param name="askers">Who asks.</param>
    /// <param name="time">For limits of time.</param>
    /// <param name="logger">Hears of failures of this host's side only: names are the functions' own business.</param>
    public DnsForwarder(Socket udp, Socket tcp, DnsResolvers resolvers, DnsAskers askers, TimeProvider time, ILogger logger)
    {
        (_udp, _tcp, _time, _logger) = (udp, tcp, time, logger);
        _questions = new DnsQuestions(resolvers, time, logger);
        _udpPlaces = new DnsPlaces(UdpPlaces, UdpPlacesPerSandbox, askers);
        _tcpPlaces = new DnsPlaces(TcpPlaces, TcpPlacesPerSandbox, askers);
        Ended = Task.WhenAll(RepeatAsync(ReadQuestionsAsync), RepeatAsync(AcceptConnectionsAsync), _served.Task);
    }

    /// <summary>Completes when nothing is served any more.</summary>
    public Task Ended { get; }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        await Ended;
        _stopping.Dispose();
    }

    /// <summary>A broken socket must not spin, and what one sandbox breaks must not make others wait.</summary>
    private async Task RepeatAsync(Func<Progress, CancellationToken, Task> read)
    {
        var token = _stopping.Token;
        var progress = new Progress();
        try
        {
            while (!token.IsCancellationRequested)
            {
                try
                {
                    await read(progress, token);
                }
                catch (Exception exception) when (!IsEnd(exception, token))
                {
                    if (++progress.Failures > FailuresWithoutPause)
                    {
                        LogReadFailed(_logger, exception);
                        await Task.Delay(PauseAfterFailures, _time, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                    }
                }
            }
        }
        catch (Exception exception) when (IsEnd(exception, token))
        {
            // Its socket's end, or ours.
        }
        finally
        {
            Release();
        }
    }

    private async Task ReadQuestionsAsync(Progress progress, CancellationToken cancellationToken)
    {
        var packet = new byte[MaxQuestionBytes + 1];
        var anyone = new IPEndPoint(IPAddress.Any, 0);
        while (true)
        {
            var received = await _udp.ReceiveFromAsync(packet, anyone, cancellationToken);
            progress.Failures = 0;
            var asker = (IPEndPoint)received.RemoteEndPoint;
            var asked = packet.AsMemory(0, received.ReceivedBytes);
            if (asked.Length > MaxQuestionBytes || !DnsMessage.IsQuestion(asked.Span))
            {
                continue;
            }

            if (_udpPlaces.TryEnter(asker.Address) is { } place)
            {
                Interlocked.Increment(ref _users);
                _ = ServeQuestionAsync(asked.ToArray(), asker, place, cancellationToken); // counted in _users
            }
            else
            {
                await ReplyAsync(DnsQuestions.Error(asked, DnsMessage.ServerFailure), asker, cancellationToken);
            }
        }
    }

    private async Task ServeQuestionAsync(byte[] question, IPEndPoint asker, DnsPlace place, CancellationToken cancellationToken)
    {
        var answer = ArrayPool<byte>.Shared.Rent(MaxUdpAnswerBytes + 1);
        try
        {
            await ReplyAsync(await _questions.AnswerUdpAsync(question, answer.AsMemory(0, MaxUdpAnswerBytes + 1), cancellationToken), asker, cancellationToken);
        }
        catch (Exception exception)
        {
            LogUnlessEnd(exception, cancellationToken);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(answer);
            _udpPlaces.Leave(place);
            Release();
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

    private async Task AcceptConnectionsAsync(Progress progress, CancellationToken cancellationToken)
    {
        while (true)
        {
            var connection = await _tcp.AcceptAsync(cancellationToken);
            progress.Failures = 0;
            if (connection.RemoteEndPoint is IPEndPoint asker && _tcpPlaces.TryEnter(asker.Address) is { } place)
            {
                Interlocked.Increment(ref _users);
                _ = ServeConnectionAsync(connection, place, cancellationToken); // counted in _users
            }
            else
            {
                connection.Dispose();
            }
        }
    }

    private async Task ServeConnectionAsync(Socket connection, DnsPlace place, CancellationToken cancellationToken)
    {
        try
        {
            await using var stream = new NetworkStream(connection, ownsSocket: true);
            for (var asked = 0; asked < QuestionsPerConnection && await ServeNextAsync(stream, cancellationToken); asked++)
            {
            }
        }
        catch (Exception exception) when (exception is IOException or SocketException or OperationCanceledException)
        {
            // The sandbox ended its connection in the middle, or dawdled; or we end.
        }
        catch (Exception exception)
        {
            LogUnlessEnd(exception, cancellationToken);
        }
        finally
        {
            connection.Dispose();
            _tcpPlaces.Leave(place);
            Release();
        }
    }

    private async Task<bool> ServeNextAsync(NetworkStream stream, CancellationToken cancellationToken)
    {
        using var timer = new CancellationTokenSource(ConnectionLimit, _time);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
        var prefix = new byte[sizeof(ushort)];
        await stream.ReadExactlyAsync(prefix, limit.Token);
        var length = BinaryPrimitives.ReadUInt16BigEndian(prefix);
        if (length > MaxQuestionBytes)
        {
            return false;
        }

        var question = new byte[length];
        await stream.ReadExactlyAsync(question, limit.Token);
        if (!DnsMessage.IsQuestion(question))
        {
            return false;
        }

        await stream.WriteAsync(await _questions.AnswerTcpAsync(question, cancellationToken), limit.Token);
        return true;
    }

    private void Release()
    {
        if (Interlocked.Decrement(ref _users) == 0)
        {
            _served.TrySetResult();
        }
    }

    private void LogUnlessEnd(Exception exception, CancellationToken stopping)
    {
        if (!IsEnd(exception, stopping))
        {
            LogReadFailed(_logger, exception);
        }
    }

    // Ours, or the sockets' by the hand of the launcher's session.
    private static bool IsEnd(Exception exception, CancellationToken stopping) =>
        exception is ObjectDisposedException or SocketException { SocketErrorCode: SocketError.OperationAborted }
        || (stopping.IsCancellationRequested && exception is OperationCanceledException or SocketException);

    [LoggerMessage(4052, LogLevel.Warning, "Sandboxes' DNS questions cannot be read")]
    private static partial void LogReadFailed(ILogger logger, Exception exception);

    /// <summary>Failures since the last success.</summary>
    private sealed class Progress
    {
        public int Failures { get; set; }
    }
}
