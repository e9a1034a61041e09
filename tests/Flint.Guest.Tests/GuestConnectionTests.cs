using System.Text;
using System.Text.Json;
using Flint.Runtime.Guest;
using Flint.Runtime.Invocation;

namespace Flint.Guest.Tests;

public sealed class GuestConnectionTests
{
    private static readonly GuestInit Init = new()
    {
        Handler = "main.handler",
        FunctionName = "f",
        FunctionVersion = "$LATEST",
        InvokedFunctionArn = "arn",
        MemoryMb = 128,
        Environment = new Dictionary<string, string> { ["A"] = "é\"" },
    };

    [Fact]
    public async Task Init_says_what_the_protocol_says()
    {
        ScriptedSandbox sandbox = Loaded();
        GuestConnection connection = new(sandbox, new GuestLimits());

        (await connection.InitAsync(Init, NewLog(), CancellationToken.None)).ShouldBeNull();

        connection.IsUsable.ShouldBeTrue();
        byte[] frame = sandbox.Writes.ShouldHaveSingleItem();
        frame[..4].ShouldBe([1, 1, 0, 0]);
        JsonElement json = JsonDocument.Parse(frame.AsMemory(8)).RootElement;
        json.EnumerateObject().Select(member => member.Name).ShouldBe(
            ["handler", "taskRoot", "functionName", "functionVersion", "invokedFunctionArn", "memoryMb", "maxResultBytes", "environment", "snapshot", "call", "globals"]);
        json.GetProperty("environment").GetProperty("A").GetString().ShouldBe("é\"");
        json.GetProperty("maxResultBytes").GetInt32().ShouldBe(6 * 1024 * 1024);
        (json.GetProperty("call").GetString(), json.GetProperty("globals").GetString()).ShouldBe(("handler", "full"));
    }

    [Fact]
    public async Task A_small_invoke_is_one_write_and_a_large_payload_is_not_copied()
    {
        ScriptedSandbox sandbox = Loaded().Then(nonce => [GuestFrames.Result(nonce, "1"u8)]).Then(nonce => [GuestFrames.Result(nonce, "2"u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        sandbox.Writes.Clear();

        await connection.InvokeAsync(Invoke("{\"a\":1}"u8.ToArray()) with { ClientContext = "{\"c\":1}", TraceId = "t" }, NewLog(), CancellationToken.None);
        byte[] frame = sandbox.Writes.ShouldHaveSingleItem();
        int metaLength = BitConverter.ToInt32(frame, 24);
        Encoding.UTF8.GetString(frame, 28, metaLength).ShouldBe("""{"requestId":"r-1","deadlineMs":1767225600000,"clientContext":{"c":1},"traceId":"t"}""");
        Encoding.UTF8.GetString(frame, 28 + metaLength, frame.Length - 28 - metaLength).ShouldBe("{\"a\":1}");
        BitConverter.ToInt32(frame, 4).ShouldBe(frame.Length - 8);

        sandbox.Writes.Clear();
        byte[] large = Encoding.UTF8.GetBytes("\"" + new string('x', 100_000) + "\"");
        await connection.InvokeAsync(Invoke(large), NewLog(), CancellationToken.None);
        sandbox.Writes.Count.ShouldBe(2);
        sandbox.Writes[1].ShouldBe(large);
        BitConverter.ToInt32(sandbox.Writes[0], 4).ShouldBe(sandbox.Writes[0].Length - 8 + large.Length);
    }

    [Fact]
    public async Task Every_invoke_has_a_nonce_of_its_own()
    {
        HashSet<string> nonces = [];
        ScriptedSandbox sandbox = Loaded();
        for (int i = 0; i < 50; i++)
        {
            sandbox.Then(nonce =>
            {
                nonces.Add(Convert.ToHexString(nonce));
                return [GuestFrames.Result(nonce, "1"u8)];
            });
        }
        GuestConnection connection = await InitializedAsync(sandbox);
        for (int i = 0; i < 50; i++)
        {
            await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);
        }
        nonces.Count.ShouldBe(50);
    }

    [Fact]
    public async Task Logs_and_raw_output_are_in_the_log_when_the_answer_returns()
    {
        ScriptedSandbox sandbox = Loaded().Then(nonce => [GuestFrames.Log(1, "one\n"u8), GuestFrames.Log(2, "two"u8), GuestFrames.Result(nonce, "1"u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        sandbox.OutputAttached.ShouldBeFalse();
        sandbox.WriteRaw("raw\nunfinished"u8);
        InvocationLog log = NewLog();

        await connection.InvokeAsync(Invoke(), log, CancellationToken.None);

        sandbox.OutputAttached.ShouldBeFalse();
        log.Complete().Lines.Select(line => $"{line.Stream} {line.Text}").ShouldBe(["Stdout one", "Stderr two", "Stderr raw", "Stderr unfinished"]);
    }

    [Fact]
    public async Task What_a_background_thread_logs_belongs_to_the_next_invocation()
    {
        ScriptedSandbox sandbox = Loaded()
            .Then(nonce => [[.. GuestFrames.Result(nonce, "1"u8), .. GuestFrames.Log(1, "late"u8)]])
            .Then(nonce => [GuestFrames.Result(nonce, "2"u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        (InvocationLog first, InvocationLog second) = (NewLog(), NewLog());

        await connection.InvokeAsync(Invoke(), first, CancellationToken.None);
        connection.IsUsable.ShouldBeTrue();
        await connection.InvokeAsync(Invoke(), second, CancellationToken.None);

        first.Complete().Lines.ShouldBeEmpty();
        second.Complete().Lines.ShouldHaveSingleItem().Text.ShouldBe("late");
    }

    [Fact]
    public async Task A_second_answer_ends_the_sandbox()
    {
        ScriptedSandbox sandbox = Loaded().Then(nonce => [[.. GuestFrames.Result(nonce, "1"u8), .. GuestFrames.Result(nonce, "2"u8)]]);
        GuestConnection connection = await InitializedAsync(sandbox);

        GuestReply reply = await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);

        Encoding.UTF8.GetString(reply.Result.Span).ShouldBe("1");
        connection.IsUsable.ShouldBeFalse();
        await Should.ThrowAsync<InvalidOperationException>(async () => await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None));
    }

    [Fact]
    public async Task A_second_answer_that_comes_late_answers_nothing()
    {
        byte[] kept = [];
        ScriptedSandbox sandbox = Loaded().Then(nonce =>
        {
            kept = nonce;
            return [GuestFrames.Result(nonce, "1"u8)];
        }).Then(_ => [GuestFrames.Result(kept, "2"u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);

        await Should.ThrowAsync<GuestProtocolException>(async () => await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None));
        connection.IsUsable.ShouldBeFalse();
    }

    [Fact]
    public async Task An_answer_before_the_question_is_a_violation()
    {
        ScriptedSandbox sandbox = new ScriptedSandbox().First(GuestFrames.Ready).Then(_ => [GuestFrames.InitOk, GuestFrames.Result(new byte[16], "1"u8)]).Then(_ => []);
        GuestConnection connection = new(sandbox, new GuestLimits());
        await connection.InitAsync(Init, NewLog(), CancellationToken.None);
        await Should.ThrowAsync<GuestProtocolException>(async () => await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None));
    }

    [Theory]
    [InlineData("""{"type":"Unhandled","na\ud800":1}""")]
    [InlineData("""{"fat\udc00":true}""")]
    public async Task An_error_with_a_member_that_is_no_text_is_a_violation(string json)
    {
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Error(nonce, Encoding.UTF8.GetBytes(json))]));
        await Should.ThrowAsync<GuestProtocolException>(async () => await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None));
        connection.IsUsable.ShouldBeFalse();
    }

    [Fact]
    public async Task A_log_frame_of_an_unknown_stream_is_a_violation()
    {
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Log(3, "x"u8), GuestFrames.Result(nonce, "1"u8)]));
        await Should.ThrowAsync<GuestProtocolException>(async () => await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None));
    }

    [Theory]
    [InlineData("""{"type":"ImportError","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.ImportError)]
    [InlineData("""{"type":"HandlerNotFound","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.HandlerNotFound)]
    [InlineData("""{"type":"SyntaxError","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.SyntaxError)]
    [InlineData("""{"type":"ResponseTooLarge","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.ResponseTooLarge)]
    [InlineData("""{"type":"InvalidResponse","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.InvalidResponse)]
    [InlineData("""{"type":"ExitedEarly","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.ExitedEarly)]
    [InlineData("""{"type":"OutOfMemory","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.Unhandled)]
    [InlineData("""{"type":"SandboxLost","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.Unhandled)]
    [InlineData("""{"type":"Throttled","name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.Unhandled)]
    [InlineData("""{"type":7,"name":"n","message":"m","stackTrace":["a","b"]}""", FaultType.Unhandled)]
    public async Task A_guest_may_only_claim_the_functions_own_faults(string json, FaultType expected)
    {
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Error(nonce, Encoding.UTF8.GetBytes(json))]));
        GuestReply reply = await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);
        InvocationError error = reply.Error.ShouldNotBeNull();
        (error.Type, error.Name, error.Message).ShouldBe((expected, "n", "m"));
        error.StackTrace.ShouldBe(["a", "b"]);
        connection.IsUsable.ShouldBeTrue();
    }

    [Fact]
    public async Task The_parts_of_an_error_are_bounded_and_harmless()
    {
        string json = JsonSerializer.Serialize(new
        {
            type = "Unhandled",
            name = new string('n', 5_000) + "\u0000",
            message = "a\u0000\u001b[31m\nb" + new string('m', 100_000),
            stackTrace = Enumerable.Repeat(new string('s', 300), 400),
        });
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Error(nonce, Encoding.UTF8.GetBytes(json))]));
        InvocationError error = (await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None)).Error.ShouldNotBeNull();
        error.Name.Length.ShouldBe(256);
        error.Message.Length.ShouldBe(32 * 1024);
        error.Message.ShouldStartWith("a\u2400\u241b[31m\nbmmm");
        error.StackTrace.Count.ShouldBe(256);
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("{\"type\":")]
    [InlineData("\u0001\u0002")]
    public async Task An_error_that_is_no_error_is_a_violation(string json)
    {
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Error(nonce, Encoding.UTF8.GetBytes(json + "  "))]));
        await Should.ThrowAsync<GuestProtocolException>(async () => await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None));
    }

    [Fact]
    public async Task An_error_of_lone_surrogates_is_still_an_error()
    {
        byte[] json = Encoding.UTF8.GetBytes("""{"type":"Unhandled","name":"\ud800","message":"\udc00","stackTrace":["\ud800"]}""");
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Error(nonce, json)]));
        (await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None)).Error.ShouldNotBeNull().Name.ShouldContain("not valid Unicode");
    }

    [Fact]
    public async Task A_fatal_error_ends_the_sandbox()
    {
        byte[] json = """{"type":"Unhandled","name":"n","message":"m","stackTrace":[],"fatal":true}"""u8.ToArray();
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Error(nonce, json)]));
        (await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None)).Error.ShouldNotBeNull();
        connection.IsUsable.ShouldBeFalse();
    }

    [Fact]
    public async Task A_result_over_the_limit_is_the_functions_error_and_ends_the_sandbox()
    {
        GuestConnection connection = await InitializedAsync(
            Loaded().Then(nonce => [GuestFrames.Make(0x85, nonce, length: 200)]), new GuestLimits { MaxResultBytes = 100 });
        GuestReply reply = await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);
        reply.Error.ShouldNotBeNull().Type.ShouldBe(FaultType.ResponseTooLarge);
        connection.IsUsable.ShouldBeFalse();
    }

    [Theory]
    [InlineData("", "valid JSON")]
    [InlineData("{", "valid JSON")]
    [InlineData("1 2", "valid JSON")]
    [InlineData("NaN", "valid JSON")]
    [InlineData("\uFEFF1", "valid JSON")]
    [InlineData("{'a':1}", "valid JSON")]
    [InlineData("[[[[[1]]]]]", "deeper than 4")]
    public async Task A_result_that_is_no_JSON_is_the_functions_error(string json, string why)
    {
        GuestConnection connection = await InitializedAsync(
            Loaded().Then(nonce => [GuestFrames.Result(nonce, Encoding.UTF8.GetBytes(json))]), new GuestLimits { MaxJsonDepth = 4 });
        InvocationError error = (await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None)).Error.ShouldNotBeNull();
        error.Type.ShouldBe(FaultType.InvalidResponse);
        error.Message.ShouldContain(why);
        connection.IsUsable.ShouldBeTrue();
    }

    [Fact]
    public async Task A_result_that_is_no_UTF8_is_the_functions_error()
    {
        GuestConnection connection = await InitializedAsync(Loaded().Then(nonce => [GuestFrames.Result(nonce, [(byte)'"', 0xff, (byte)'"'])]));
        (await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None)).Error.ShouldNotBeNull().Message.ShouldContain("UTF-8");
    }

    [Fact]
    public async Task The_result_stays_the_callers_own()
    {
        ScriptedSandbox sandbox = Loaded().Then(nonce => [GuestFrames.Result(nonce, "\"first\""u8)]).Then(nonce => [GuestFrames.Result(nonce, "\"other\""u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        GuestReply first = await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);
        await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None);
        Encoding.UTF8.GetString(first.Result.Span).ShouldBe("\"first\"");
    }

    [Fact]
    public async Task A_closed_channel_is_no_violation_and_its_raw_output_is_kept()
    {
        ScriptedSandbox sandbox = Loaded().Then(_ => [GuestFrames.Log(1, "last words"u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        sandbox.WriteRaw("FATAL ERROR: x\n"u8);
        InvocationLog log = NewLog();
        await Should.ThrowAsync<GuestClosedException>(async () => await connection.InvokeAsync(Invoke(), log, CancellationToken.None));
        log.Complete().Lines.Select(line => line.Text).ShouldBe(["last words", "FATAL ERROR: x"]);
        connection.IsUsable.ShouldBeFalse();
    }

    [Fact]
    public async Task A_sandbox_that_dies_after_its_answer_has_answered()
    {
        ScriptedSandbox sandbox = Loaded().Then(nonce => [GuestFrames.Result(nonce, "1"u8)]);
        GuestConnection connection = await InitializedAsync(sandbox);
        sandbox.DeadAtDrain = true;
        (await connection.InvokeAsync(Invoke(), NewLog(), CancellationToken.None)).Error.ShouldBeNull();
        connection.IsUsable.ShouldBeFalse();
    }

    [Fact]
    public async Task A_cancelled_wait_ends_at_once()
    {
        GuestConnection connection = await InitializedAsync(new ScriptedSandbox(staysOpen: true).First(GuestFrames.Ready).Then(_ => [GuestFrames.InitOk]));
        using CancellationTokenSource cancel = new();
        ValueTask<GuestReply> reply = connection.InvokeAsync(Invoke(), NewLog(), cancel.Token);
        await cancel.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(async () => await reply);
        connection.IsUsable.ShouldBeFalse();
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("[1]")]
    [InlineData("{\"protocol\":2}")]
    [InlineData("{\"protocol\":\"1\"}")]
    [InlineData("{\"protocol\":1e99}")]
    [InlineData("not json")]
    public async Task A_wrong_ready_is_a_violation(string json)
    {
        GuestConnection connection = new(new ScriptedSandbox().First(GuestFrames.Make(0x81, Encoding.UTF8.GetBytes(json))), new GuestLimits());
        await Should.ThrowAsync<GuestProtocolException>(() => connection.InitAsync(Init, NewLog(), CancellationToken.None));
    }

    [Fact]
    public async Task An_init_error_is_returned_and_the_guest_is_unusable()
    {
        byte[] json = """{"type":"ImportError","name":"Runtime.ImportModuleError","message":"m","stackTrace":[]}"""u8.ToArray();
        GuestConnection connection = new(new ScriptedSandbox().First(GuestFrames.Ready).Then(_ => [GuestFrames.Make(0x83, json)]), new GuestLimits());
        InvocationError? error = await connection.InitAsync(Init, NewLog(), CancellationToken.None);
        error.ShouldNotBeNull().Type.ShouldBe(FaultType.ImportError);
        connection.IsUsable.ShouldBeFalse();
    }

    private static ScriptedSandbox Loaded() => new ScriptedSandbox().First(GuestFrames.Ready).Then(_ => [GuestFrames.InitOk]);

    private static async Task<GuestConnection> InitializedAsync(ScriptedSandbox sandbox, GuestLimits? limits = null)
    {
        GuestConnection connection = new(sandbox, limits ?? new GuestLimits());
        (await connection.InitAsync(Init, NewLog(), CancellationToken.None)).ShouldBeNull();
        return connection;
    }

    private static GuestInvoke Invoke(byte[]? payload = null) =>
        new("r-1", new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero), payload ?? "null"u8.ToArray(), null, null);

    private static InvocationLog NewLog() => new(1024 * 1024, TimeProvider.System);
}
