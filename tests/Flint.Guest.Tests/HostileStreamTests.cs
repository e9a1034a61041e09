using System.Diagnostics;
using Flint.Runtime.Guest;

namespace Flint.Guest.Tests;

/// <summary>Whatever bytes a guest sends, the worker ends with an answer, a violation or a closed channel; it neither hangs nor over-allocates.</summary>
public sealed class HostileStreamTests
{
    private const int Rounds = 4000;
    /// <summary>Everything that one conversation may allocate beyond a RESULT that is within its limit.</summary>
    private const long AllocationLimit = 2_000_000;
    private static readonly GuestLimits Limits = new() { MaxResultBytes = 10_000, MaxLogBytes = 10_000 };
    private static readonly TimeSpan TimeLimit = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Every_truncation_ends_cleanly()
    {
        byte[] whole = Conversation(new byte[16]);
        for (int length = 0; length < whole.Length; length++)
        {
            string end = await RunAsync(nonce => Conversation(nonce)[..length], chunk: 1 + (length % 5));
            end.ShouldBe("closed", $"cut at {length}");
        }
        (await RunAsync(Conversation, chunk: 3)).ShouldBe("answer");
    }

    [Fact]
    public async Task Every_single_bit_flip_ends_cleanly()
    {
        int length = Conversation(new byte[16]).Length;
        Dictionary<string, int> ends = [];
        for (int at = 0; at < length; at++)
        {
            for (int bit = 0; bit < 8; bit++)
            {
                string end = await RunAsync(
                    nonce =>
                    {
                        byte[] bytes = Conversation(nonce);
                        bytes[at] ^= (byte)(1 << bit);
                        return bytes;
                    },
                    chunk: int.MaxValue);
                ends[end] = ends.GetValueOrDefault(end) + 1;
            }
        }
        ends.Keys.ShouldBeSubsetOf(["answer", "error", "violation", "closed"]);
        // The flips were seen: most bytes are text of a log, but headers, nonce and JSON are not.
        ends["violation"].ShouldBeGreaterThan(200);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Random_mutations_end_cleanly(int seed)
    {
        Random random = new(seed);
        Stopwatch watch = Stopwatch.StartNew();
        for (int round = 0; round < Rounds && watch.Elapsed < TimeLimit; round++)
        {
            int mutationSeed = random.Next();
            long before = GC.GetAllocatedBytesForCurrentThread();
            await RunAsync(nonce => Mutate(Conversation(nonce), new Random(mutationSeed)), chunk: 1 + random.Next(100));
            (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(AllocationLimit, $"mutation {mutationSeed}");
        }
    }

    [Fact]
    public async Task Random_bytes_end_cleanly()
    {
        Random random = new(4);
        for (int round = 0; round < Rounds; round++)
        {
            byte[] noise = new byte[random.Next(200)];
            random.NextBytes(noise);
            (await RunAsync(_ => noise, chunk: int.MaxValue)).ShouldBeOneOf("violation", "closed");
        }
    }

    private static byte[] Conversation(byte[] nonce) =>
    [
        .. GuestFrames.Log(1, "a line\n"u8),
        .. GuestFrames.Log(2, "another, é\n"u8),
        .. GuestFrames.Result(nonce, """{"a":[1,2,{"b":"é"}]}"""u8),
    ];

    private static byte[] Mutate(byte[] bytes, Random random)
    {
        List<byte> list = [.. bytes];
        for (int i = random.Next(1, 4); i > 0 && list.Count > 8; i--)
        {
            int at = random.Next(list.Count);
            int count = Math.Min(random.Next(1, 20), list.Count - at);
            switch (random.Next(5))
            {
                case 0:
                    list[at] = (byte)random.Next(256);
                    break;
                case 1:
                    list.RemoveRange(at, count);
                    break;
                case 2:
                    list.InsertRange(at, list.GetRange(at, count));
                    break;
                case 3:
                    list.InsertRange(at, Enumerable.Repeat((byte)random.Next(256), count));
                    break;
                default:
                    list.RemoveRange(at, list.Count - at);
                    break;
            }
        }
        return [.. list];
    }

    private static async Task<string> RunAsync(Func<byte[], byte[]> script, int chunk)
    {
        ScriptedSandbox sandbox = new ScriptedSandbox(chunk).First(GuestFrames.Ready).Then(_ => [GuestFrames.InitOk]).Then(nonce => [script(nonce)]);
        // On one thread to its end, since what it allocates is counted by thread.
        GuestConnection connection = new(sandbox, Limits) { ReadsInARow = int.MaxValue };
        GuestInit init = new() { Handler = "h", FunctionName = "f", FunctionVersion = "1", InvokedFunctionArn = "a", MemoryMb = 128 };
        InvocationLog log = new(10_000, TimeProvider.System);
        await connection.InitAsync(init, log, CancellationToken.None);
        try
        {
            GuestInvoke invoke = new("r", DateTimeOffset.UnixEpoch, "1"u8.ToArray(), null, null);
            GuestReply reply = await connection.InvokeAsync(invoke, log, CancellationToken.None);
            return reply.Error is null ? "answer" : "error";
        }
        catch (GuestProtocolException)
        {
            return "violation";
        }
        catch (GuestClosedException)
        {
            return "closed";
        }
        finally
        {
            log.Complete();
        }
    }
}
