using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.TestKit.Guest;

namespace Flint.Guest.Tests;

/// <summary>
/// INIT whose JSON is changed at random, in real guests in exec mode: each loads the handler with settings that are all valid, answers INIT_ERROR, or ends with status 130. 60
/// guests of each language in <c>./test</c>, 2,000 in <c>./test long</c>, with a new seed every time, which is printed; <c>FLINT_FUZZ_SEED</c> repeats a run.
/// </summary>
public sealed class InitFuzzTests
{
    private const string Python = "def handler(event, context):\n    return [context.function_name, context.memory_limit_in_mb, context.invoked_function_arn]\n";
    private const string Node = "exports.handler = async (event, context) => [context.functionName, context.memoryLimitInMB, context.invokedFunctionArn];\n";
    private const int ProtocolFault = 130;
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);
    private static readonly string[] Members =
        ["handler", "taskRoot", "functionName", "functionVersion", "invokedFunctionArn", "memoryMb", "maxResultBytes", "environment", "snapshot", "call", "globals"];

    private static readonly string[] Values =
    [
        "null", "true", "[]", "{}", "-1", "0", "1.5", "1e400", "99999999999999999999999999", "\"128\"", "\"\\ud800\"", "\"a\\u0000b\"", "[[[[]]]]", "{\"A\":1}", "NaN", "",
    ];

    [Theory]
    [InlineData("python3.11")]
    [InlineData("nodejs20")]
    public async Task A_changed_init_is_refused_or_harmless(string runtime)
    {
        Interpreters.Require(runtime);
        string? asked = Environment.GetEnvironmentVariable("FLINT_FUZZ_SEED");
        int seed = asked is { Length: > 0 } ? int.Parse(asked, CultureInfo.InvariantCulture) : Random.Shared.Next();
        int rounds = Environment.GetEnvironmentVariable("FLINT_TEST_LONG") is { Length: > 0 } ? 2000 : 60;
        TestContext.Current.TestOutputHelper?.WriteLine($"FLINT_FUZZ_SEED={seed}");
        using TestFunction function = new(runtime, runtime.StartsWith("python", StringComparison.Ordinal) ? Python : Node);
        byte[] valid = Encoding.UTF8.GetBytes(Valid(function.Directory));
        Dictionary<string, int> ends = [];

        (await EndAsync(function, valid)).ShouldBe("loaded", "the control: what is not changed loads");
        for (int round = 0; round < rounds; round++)
        {
            byte[] body = Change(valid, new Random(unchecked(seed + round)), round);
            string end = await EndAsync(function, body);
            string what = $"seed {seed}, round {round}: {Encoding.UTF8.GetString(body.AsSpan(0, Math.Min(body.Length, 600)))}";
            end.ShouldBeOneOf(["loaded", "init error", "status 130"], what);
            (end == "loaded" && !IsValid(body)).ShouldBeFalse($"loaded: {what}");
            ends[end] = ends.GetValueOrDefault(end) + 1;
        }

        ends.GetValueOrDefault("status 130").ShouldBeGreaterThan(rounds / 4);
    }

    private static string Valid(string taskRoot) =>
        $$"""
        {"handler":"main.handler","taskRoot":{{JsonSerializer.Serialize(taskRoot)}},"functionName":"f","functionVersion":"1","invokedFunctionArn":"arn","memoryMb":128,"maxResultBytes":1000,"environment":null,"snapshot":false,"call":"handler","globals":"full"}
        """;

    /// <summary>What came of it. A guest that loaded the handler must also answer an event.</summary>
    private static async Task<string> EndAsync(TestFunction function, byte[] body)
    {
        using CancellationTokenSource limit = new(Limit);
        ProcessSandbox sandbox = ProcessGuests.Start(function.Spec());
        try
        {
            Stream channel = sandbox.Channel;
            (await ReadAsync(channel, limit.Token)).ShouldBe(0x81);
            await channel.WriteAsync(GuestFrames.Make(0x01, body), limit.Token);
            int kind = await ReadAsync(channel, limit.Token);
            if (kind == 0x83)
            {
                return "init error";
            }
            if (kind != 0x82)
            {
                return $"status {(await sandbox.Exited.WaitAsync(limit.Token)).ExitCode}";
            }
            byte[] meta = """{"requestId":"r","deadlineMs":1,"clientContext":null,"traceId":null}"""u8.ToArray();
            await channel.WriteAsync(GuestFrames.Make(0x02, [.. new byte[16], .. BitConverter.GetBytes(meta.Length), .. meta, .. "1"u8]), limit.Token);
            int answer = await ReadAsync(channel, limit.Token);
            return answer is 0x85 or 0x86 ? "loaded" : $"kind {answer}";
        }
        finally
        {
            await sandbox.DestroyAsync();
        }
    }

    /// <summary>The kind of the next frame that is no LOG; -1 at the end.</summary>
    private static async Task<int> ReadAsync(Stream channel, CancellationToken cancellationToken)
    {
        byte[] header = new byte[8];
        while (true)
        {
            try
            {
                await channel.ReadExactlyAsync(header, cancellationToken);
                await channel.ReadExactlyAsync(new byte[BitConverter.ToInt32(header, 4)], cancellationToken);
            }
            catch (IOException)
            {
                return -1;
            }
            if (header[1] != 0x84)
            {
                return header[1];
            }
        }
    }

    private static byte[] Change(byte[] valid, Random random, int round)
    {
        string text = Encoding.UTF8.GetString(valid);
        string member = Members[round % Members.Length];
        string value = Values[random.Next(Values.Length)];
        switch (random.Next(9))
        {
            case 0: // missing
                JsonObject less = JsonNode.Parse(text)!.AsObject();
                less.Remove(member);
                return Encoding.UTF8.GetBytes(less.ToJsonString());
            case 1: // twice: the last one counts
                return Encoding.UTF8.GetBytes(text[..^1] + $",\"{member}\":{value}}}");
            case 2:
                int depth = random.Next(1, 15_000);
                return Encoding.UTF8.GetBytes(text[..^1] + $",\"x\":{new string('[', depth)}{new string(']', depth - random.Next(2))}}}");
            case 3: // not UTF-8
                byte[] broken = (byte[])valid.Clone();
                broken[random.Next(broken.Length)] = (byte)random.Next(0x80, 0x100);
                return broken;
            case 4:
                return valid[..random.Next(valid.Length)];
            case 5:
                byte[] flipped = (byte[])valid.Clone();
                flipped[random.Next(flipped.Length)] ^= (byte)(1 << random.Next(8));
                return flipped;
            case 6: // unlike an object
                return Encoding.UTF8.GetBytes(value);
            default: // another type
                JsonElement old = JsonDocument.Parse(text).RootElement.GetProperty(member);
                return Encoding.UTF8.GetBytes(text.Replace($"\"{member}\":{old.GetRawText()}", $"\"{member}\":{value}", StringComparison.Ordinal));
        }
    }

    /// <summary>What guest/PROTOCOL.md promises of every INIT in exec mode, by another reader than the guests'.</summary>
    private static bool IsValid(byte[] body)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 20_000 });
            JsonElement init = document.RootElement;
            return Members[..5].All(name => init.GetProperty(name).GetString() is { } text && !text.Contains('\0', StringComparison.Ordinal)) &&
                Members[5..7].All(name => init.GetProperty(name).GetDouble() is > 0 and < 2147483648 and double number && number == Math.Floor(number)) &&
                (init.GetProperty("call").GetString(), init.GetProperty("globals").GetString()) is ("handler", "full") or ("main", "full" or "limited") &&
                init.GetProperty("environment").ValueKind == JsonValueKind.Null && init.GetProperty("snapshot").ValueKind == JsonValueKind.False;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            return false;
        }
    }
}
