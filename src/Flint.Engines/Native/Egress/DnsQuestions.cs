using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native.Egress;

/// <summary>Has a question answered by the first resolver that does, and makes an error of it when none does. Thread-safe.</summary>
internal sealed partial class DnsQuestions(DnsResolvers resolvers, TimeProvider time, ILogger logger)
{
    /// <summary>Of one resolver; libc in a sandbox waits 3 seconds for all of them and asks twice.</summary>
    private static readonly TimeSpan AnswerLimit = TimeSpan.FromSeconds(2);

    /// <summary>Both buffers may be written to.</summary>
    public async Task<ReadOnlyMemory<byte>> AnswerUdpAsync(Memory<byte> question, Memory<byte> answer, CancellationToken cancellationToken)
    {
        if (DnsMessage.IsTransfer(question.Span))
        {
            return Error(question, DnsMessage.Refused);
        }

        var length = await FirstAsync((resolver, token) => DnsExchange.AskUdpAsync(resolver, question, answer, token), cancellationToken);
        return length > 0 ? answer[..length] : Error(question, DnsMessage.ServerFailure);
    }

    /// <summary>The answer begins with its length, ready to be sent on.</summary>
    public async Task<byte[]> AnswerTcpAsync(byte[] question, CancellationToken cancellationToken)
    {
        var transfer = DnsMessage.IsTransfer(question);
        var answer = transfer ? null : await FirstAsync((resolver, token) => DnsExchange.AskTcpAsync(resolver, question, token), cancellationToken);
        if (answer is not null)
        {
            return answer;
        }

        var error = Error(question, transfer ? DnsMessage.Refused : DnsMessage.ServerFailure);
        answer = new byte[sizeof(ushort) + error.Length];
        BinaryPrimitives.WriteUInt16BigEndian(answer, (ushort)error.Length);
        error.CopyTo(answer.AsMemory(sizeof(ushort)));
        return answer;
    }

    /// <summary>Made of the question, in place.</summary>
    public static ReadOnlyMemory<byte> Error(Memory<byte> question, int code) => question[..DnsMessage.WriteError(question.Span, code)];

    private async Task<T?> FirstAsync<T>(Func<IPEndPoint, CancellationToken, Task<T>> ask, CancellationToken cancellationToken)
    {
        foreach (var resolver in resolvers.Current)
        {
            using var timer = new CancellationTokenSource(AnswerLimit, time);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(timer.Token, cancellationToken);
            try
            {
                return await ask(resolver, limit.Token);
            }
            catch (Exception exception) when (IsResolvers(exception, cancellationToken))
            {
                LogNoAnswer(logger, resolver);
            }
        }

        return default;
    }

    // Silence, a refusal, a wrong answer: the next resolver may do better.
    private static bool IsResolvers(Exception exception, CancellationToken cancellationToken) =>
        !cancellationToken.IsCancellationRequested && exception is OperationCanceledException or SocketException or IOException or InvalidDataException;

    [LoggerMessage(4051, LogLevel.Debug, "The resolver {Resolver} did not answer")]
    private static partial void LogNoAnswer(ILogger logger, IPEndPoint resolver);
}
