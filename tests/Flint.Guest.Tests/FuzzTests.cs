using System.Buffers.Binary;
using System.Diagnostics;
using System.Text;
using Flint.Runtime.Guest;

namespace Flint.Guest.Tests;

/// <summary>
/// Whole conversations, from READY on, whose frames, lengths and JSON are changed at random: 5 seconds in <c>./test</c>, 2 minutes in <c>./test long</c>, with a new
/// seed every time, which is printed; and the same with a fixed one. <c>FLINT_FUZZ_SEED</c> repeats a run.
/// </summary>
public sealed class FuzzTests
{
    /// <summary>Far below what a guest can claim in a length; without optimisation every read of a byte allocates, and a stream has up to 30,000.</summary>
    private const long AllocationLimit = 12_000_000;
    private static readonly GuestLimits Limits = new() { MaxResultBytes = 20_000, MaxLogBytes = 10_000 };
    private static readonly TimeSpan ConversationLimit = TimeSpan.FromSeconds(20);

    private static readonly string[] Readies =
    [
        """{"protocol":1,"runtime":"python3.11","pid":2}""", """{"protocol":1e0}""", """{"protocol":"1"}""", """{"protocol":1,"protocol":2}""", "[]", "null", "1", "{}",
        """{"protocol":99999999999999999999}""", """{"\ud800":1,"protocol":1}""", """{"protocol":{"protocol":1}}""", """{"PROTOCOL":1}""",
    ];

    private static readonly string[] Values =
    [
        """{"a":[1,2,{"b":"é"}]}""", "null", "\"\"", "-0", "1e400", "[[[[[[[[[[]]]]]]]]]]", "{\"\":{\"\":{}}}", "\"\\ud800\"", "\"\\u0000\"", "tru", "[1,]", "{\"a\":1}{", " 1 ",
        """{"type":"Unhandled","name":"E","message":"m","stackTrace":["a"]}""", """{"type":7,"name":null,"message":[],"stackTrace":{"a":1},"fatal":"yes"}""",
        """{"type":"OutOfMemory","fatal":true,"message":"\ud800","stackTrace":[null,1,{"a":"b"}]}""", """{"stackTrace":"\udfff"}""",
    ];

    [Fact]
    public async Task The_same_ten_thousand_conversations_end_cleanly()
    {
        var ends = await RunAsync(seed: 20_000, rounds: 10_000, TimeSpan.FromSeconds(60));

        // The control: mutations reach every kind of end, so the reader was not left at the door.
        ends.Keys.ShouldBe(["answer", "error", "violation", "closed", "init error"], ignoreOrder: true);
    }

    [Fact]
    public async Task Random_conversations_end_cleanly()
    {
        var asked = Environment.GetEnvironmentVariable("FLINT_FUZZ_SEED");
        var seed = asked is { Length: > 0 } ? int.Parse(asked, System.Globalization.CultureInfo.InvariantCulture) : Random.Shared.Next();
        var time = TimeSpan.FromSeconds(Environment.GetEnvironmentVariable("FLINT_TEST_LONG") is { Length: > 0 } ? 120 : 5);
        TestContext.Current.TestOutputHelper?.WriteLine($"FLINT_FUZZ_SEED={seed}");

        var ends = await RunAsync(seed, int.MaxValue, time);

        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", ends.Select(static end => $"{end.Value} {end.Key}")));
        ends.Values.Sum().ShouldBeGreaterThan(100);
    }

    private static async Task<Dictionary<string, int>> RunAsync(int seed, int rounds, TimeSpan time)
    {
        var watch = Stopwatch.StartNew();
        var seeds = new Random(seed);
        Dictionary<string, int> ends = [];
        for (var round = 0; round < rounds && watch.Elapsed < time; round++)
        {
            var own = seeds.Next();
            var (thread, before) = (Environment.CurrentManagedThreadId, GC.GetAllocatedBytesForCurrentThread());
            var end = await ConverseAsync(new Random(own)).WaitAsync(ConversationLimit);
            if (thread == Environment.CurrentManagedThreadId)
            {
                (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(AllocationLimit, $"run {seed}, round {round}, conversation {own}");
            }

            ends[end] = ends.GetValueOrDefault(end) + 1;
        }

        return ends;
    }

    /// <summary>Anything thrown beside the protocol's two exceptions fails the test.</summary>
    private static async Task<string> ConverseAsync(Random random)
    {
        var sandbox = new ScriptedSandbox(1 + random.Next(4) * random.Next(200), endsWhenSilent: true).First(Mutate([Ready(random)], random, chance: 6))
            .Then(_ => Mutate([.. Logs(random), random.Next(8) == 0 ? GuestFrames.Make(0x83, Text(Pick(Values, random))) : GuestFrames.InitOk], random, chance: 6))
            .Then(nonce => Mutate([.. Logs(random), Answer(nonce, random)], random))
            .Then(nonce => Mutate([.. Logs(random), Answer(nonce, random)], random));
        sandbox.WriteRaw(Noise(random, 300));
        GuestConnection connection = new(sandbox, Limits);
        InvocationLog log = new(10_000, TimeProvider.System);
        try
        {
            GuestInit init = new() { Handler = "h", FunctionName = "f", FunctionVersion = "1", InvokedFunctionArn = "a", MemoryMb = 128 };
            if (await connection.InitAsync(init, log, CancellationToken.None) is not null)
            {
                return "init error";
            }

            var end = "answer";
            for (var i = 0; i < 2 && connection.IsUsable; i++)
            {
                sandbox.WriteRaw(Noise(random, 300));
                var reply = await connection.InvokeAsync(new("r", DateTimeOffset.UnixEpoch, "1"u8.ToArray(), null, null), log, CancellationToken.None);
                if (reply.Error is null)
                {
                    JsonCheck.Fault(reply.Result.Span, 128).ShouldBeNull("what is passed on is JSON");
                }

                end = reply.Error is null ? end : "error";
            }

            return end;
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
            var captured = log.Complete();
            if (captured.Lines.Any(static line => line.Text.Any(static c => char.IsControl(c) && c != '\t' && c != '\r')))
            {
                Assert.Fail("a control character in a line");
            }
        }
    }

    private static byte[] Ready(Random random) => GuestFrames.Make(0x81, Text(random.Next(10) == 0 ? Pick(Readies, random) : Readies[0]));

    private static byte[] Answer(byte[] nonce, Random random) => random.Next(3) == 0
        ? GuestFrames.Error(nonce, Text(Pick(Values, random)))
        : GuestFrames.Result(nonce, Text(random.Next(20) == 0 ? $"\"{new string('x', random.Next(30_000))}\"" : Pick(Values, random)));

    private static IEnumerable<byte[]> Logs(Random random)
    {
        for (var i = random.Next(3); i > 0; i--)
        {
            yield return GuestFrames.Log((byte)(1 + random.Next(2)), Noise(random, 100));
        }
    }

    private static byte[][] Mutate(byte[][] frames, Random random, int chance = 2)
    {
        if (random.Next(chance) != 0)
        {
            return frames;
        }

        List<byte[]> list = [.. frames];
        for (var i = 1 + random.Next(3); i > 0 && list.Count > 0; i--)
        {
            var at = random.Next(list.Count);
            var frame = (byte[])list[at].Clone();
            switch (frame.Length < 8 ? 7 : random.Next(9))
            {
                case 0:
                    uint[] lengths = [0, 1, 7, 15, 16, 17, 255, 65_536, 65_537, 20_016, 20_017, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF];
                    BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(4), lengths[random.Next(lengths.Length)]);
                    break;
                case 1:
                    frame[1] = (byte)(random.Next(2) == 0 ? random.Next(256) : 0x81 + random.Next(6));
                    break;
                case 2:
                    frame[random.Next(frame.Length)] ^= (byte)(1 << random.Next(8));
                    break;
                case 3:
                    frame[random.Next(frame.Length)] = (byte)random.Next(256);
                    break;
                case 4:
                    list.Insert(random.Next(list.Count + 1), frame);
                    break;
                case 5:
                    frame = frame[..random.Next(frame.Length)];
                    break;
                case 6:
                    (list[at], list[0]) = (list[0], frame);
                    frame = list[at];
                    break;
                case 7:
                    frame = Noise(random, 64);
                    break;
                default:
                    list.RemoveAt(at);
                    continue;
            }

            list[at] = frame;
        }

        return [.. list];
    }

    private static byte[] Noise(Random random, int most)
    {
        var noise = new byte[random.Next(most)];
        random.NextBytes(noise);
        return noise;
    }

    private static string Pick(string[] from, Random random) => from[random.Next(from.Length)];

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);
}
