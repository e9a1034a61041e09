using System.Net;
using System.Text;
using System.Text.Json;
using Flint.TestKit.Engines;

namespace Flint.Server.Tests.Api;

public sealed class InvokeTests
{
    [Fact]
    public async Task A_deployed_function_answers_with_its_record()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("echo", ""","memoryMb":256""");

        var first = await server.InvokeAsync("echo", """{"n": 1.50, "text": "é"}""");
        first.Text("status").ShouldBe("COMPLETED");
        first.Text("function").ShouldBe("echo");
        first.Text("version").ShouldBe("$LATEST");
        first.Text("start").ShouldBe("cold");
        first.Text("engine").ShouldBe("native");
        first.GetProperty("memoryMb").GetInt32().ShouldBe(256);
        first.GetProperty("result").GetRawText().ShouldBe("""{"n": 1.50, "text": "é"}""");
        first.GetProperty("initDurationMs").GetDouble().ShouldBeGreaterThan(0);
        first.GetProperty("billedDurationMs").GetInt64().ShouldBeGreaterThan(0);
        first.Has("error").ShouldBeFalse();
        first.Has("logs").ShouldBeFalse();

        (await server.InvokeAsync("echo")).Text("start").ShouldBe("warm");
    }

    [Fact]
    public async Task The_record_can_be_read_at_once_with_logs_and_result()
    {
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = async e =>
                {
                    await e.LogAsync("hello\tthere");
                    return FakeAnswer.Json("[1,2]");
                },
            },
        };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("logger");
        var answer = await server.InvokeAsync("logger", "{}", "?logs=true");
        answer.GetProperty("logs").EnumerateArray().Select(line => line.Text("text")).ShouldContain("hello\tthere");

        var record = await (await server.GetAsync($"/api/invocations/{answer.Text("id")}")).ReadAsync();
        record.GetProperty("result").GetRawText().ShouldBe("[1,2]");
        record.GetProperty("logs").EnumerateArray().Select(line => line.Text("stream")).ShouldContain("platform");
        foreach (var member in answer.EnumerateObject())
        {
            record.GetProperty(member.Name).GetRawText().ShouldBe(member.Value.GetRawText(), member.Name);
        }

        var logs = await server.GetAsync($"/api/invocations/{answer.Text("id")}/logs");
        logs.Content.Headers.ContentType!.MediaType.ShouldBe("text/plain");
        (await logs.Content.ReadAsStringAsync()).ShouldContain(" stdout hello\tthere\n");
    }

    [Fact]
    public async Task Where_the_time_went_is_told_when_it_is_asked_for()
    {
        var engine = new FakeEngine { Script = _ => new FakeScript { OnEvent = _ => new(FakeAnswer.Json("1")) } };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("timed");
        (await server.InvokeAsync("timed", "{}", "?timings=false")).TryGetProperty("timings", out _).ShouldBeFalse();

        var warm = await server.InvokeAsync("timed", "{}", "?timings=true&logs=true");
        var phases = warm.GetProperty("timings");
        phases.EnumerateObject().Select(phase => phase.Name).ShouldBe(["queueMs", "createMs", "bootMs", "initMs", "prepareMs", "runMs", "aheadMakeMs", "aheadForkMs", "aheadEnterMs"]);
        phases.GetProperty("createMs").GetDouble().ShouldBe(0);
        phases.GetProperty("initMs").GetDouble().ShouldBe(0);
        phases.GetProperty("runMs").GetRawText().ShouldBe(warm.GetProperty("durationMs").GetRawText());
        warm.TryGetProperty("logs", out _).ShouldBeTrue();

        await server.DeployAsync("cold");
        var cold = await server.InvokeAsync("cold", "{}", "?timings=true");
        phases = cold.GetProperty("timings");
        phases.GetProperty("bootMs").GetDouble().ShouldBeGreaterThan(0);
        var init = phases.GetProperty("createMs").GetDouble() + phases.GetProperty("bootMs").GetDouble() + phases.GetProperty("initMs").GetDouble();
        cold.GetProperty("initDurationMs").GetDouble().ShouldBe(init, tolerance: 0.01);
    }

    [Fact]
    public async Task A_functions_failure_is_an_answer()
    {
        var engine = new FakeEngine { Script = _ => FakeScript.Answering(new FakeAnswer.Error("Unhandled", "KeyError", "'id'")) };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("fails");
        var record = await server.InvokeAsync("fails", """{"order":1}""");
        record.Text("status").ShouldBe("FAILED");
        record.GetProperty("error").Text("type").ShouldBe("Unhandled");
        record.GetProperty("error").Text("name").ShouldBe("KeyError");
        record.GetProperty("error").Text("message").ShouldBe("'id'");
        record.GetProperty("error").GetProperty("stackTrace").ValueKind.ShouldBe(JsonValueKind.Array);
        record.Has("result").ShouldBeFalse();

        var kept = await (await server.GetAsync($"/api/invocations/{record.Text("id")}")).ReadAsync();
        kept.GetProperty("event").GetRawText().ShouldBe("""{"order":1}""");
    }

    [Fact]
    public async Task Octet_stream_answers_the_result_alone()
    {
        var engine = new FakeEngine();
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("raw");
        var answer = await server.SendAsync(HttpMethod.Post, "/api/functions/raw/invoke", """[ 1 ]""", ("Accept", "application/octet-stream"));
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        (await answer.Content.ReadAsStringAsync()).ShouldBe("[ 1 ]");
        answer.Content.Headers.ContentType!.MediaType.ShouldBe("application/octet-stream");
        answer.Headers.GetValues("X-Flint-Executed-Version").ShouldBe(["$LATEST"]);
        answer.Headers.Contains("X-Flint-Function-Error").ShouldBeFalse();
        var id = answer.Headers.GetValues("X-Flint-Invocation-Id").Single();
        (await server.GetAsync($"/api/invocations/{id}")).StatusCode.ShouldBe(HttpStatusCode.OK);

        engine.Script = _ => FakeScript.Answering(new FakeAnswer.Error("Unhandled", "ValueError", "no"));
        await server.DeployAsync("broken");
        answer = await server.SendAsync(HttpMethod.Post, "/api/functions/broken/invoke", "{}", ("Accept", "application/octet-stream"));
        answer.StatusCode.ShouldBe(HttpStatusCode.OK);
        answer.Headers.GetValues("X-Flint-Function-Error").ShouldBe(["Unhandled"]);
        (await answer.ReadAsync()).Text("name").ShouldBe("ValueError");
    }

    [Fact]
    public async Task No_body_is_an_empty_event()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("echo");
        var answer = await server.SendAsync(HttpMethod.Post, "/api/functions/echo/invoke");
        (await answer.ReadAsync()).GetProperty("result").GetRawText().ShouldBe("{}");
    }

    [Fact]
    public async Task Large_events_and_results_pass_whole()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("echo");
        var text = "\"" + new string('x', (6 * 1024 * 1024) - 2) + "\"";
        var answer = await server.InvokeAsync("echo", text);
        answer.GetProperty("result").GetRawText().Length.ShouldBe(text.Length);
        (await server.PostAsync("/api/functions/echo/invoke", text + " ")).StatusCode.ShouldBe(HttpStatusCode.RequestEntityTooLarge);
    }

    [Fact]
    public async Task Chunked_bodies_are_bounded_while_they_come()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Limits:MaxPayloadBytes", "2000"]);
        await server.DeployAsync("echo");
        (await ChunkedAsync(1000)).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await ChunkedAsync(3000)).ShouldBeProblemAsync(413, "payload_too_large", "body");

        Task<HttpResponseMessage> ChunkedAsync(int size)
        {
            var content = new StreamContent(new MemoryStream(Encoding.UTF8.GetBytes("\"" + new string('x', size) + "\"")));
            content.Headers.ContentType = new("application/json");
            var request = new HttpRequestMessage(HttpMethod.Post, "/api/functions/echo/invoke") { Content = content };
            request.Headers.TransferEncodingChunked = true;
            return server.Http.SendAsync(request);
        }
    }

    public static TheoryData<string, byte[]> BadEvents => new()
    {
        { "cut off", "{"u8.ToArray() },
        { "two values", "{} {}"u8.ToArray() },
        { "not a number", "NaN"u8.ToArray() },
        { "a byte order mark", [0xEF, 0xBB, 0xBF, (byte)'1'] },
        { "invalid UTF-8", [(byte)'"', 0xC3, 0x28, (byte)'"'] },
        { "a control character", "\"\u0001\""u8.ToArray() },
        { "only spaces", "   "u8.ToArray() },
        { "a hundred thousand brackets", Encoding.ASCII.GetBytes(new string('[', 100_000)) },
        { "too deep but whole", Encoding.ASCII.GetBytes(new string('[', 129) + new string(']', 129)) },
    };

    [Theory]
    [MemberData(nameof(BadEvents))]
    public async Task What_is_not_json_does_not_run(string what, byte[] body)
    {
        what.ShouldNotBeEmpty();
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("echo");
        var content = new ByteArrayContent(body);
        content.Headers.ContentType = new("application/json");
        await (await server.Http.PostAsync("/api/functions/echo/invoke", content)).ShouldBeProblemAsync(400, "invalid_payload", "body");
        server.Engine.Created.ShouldBe(0);
    }

    [Theory]
    [InlineData("""{"a":1e400,"b":-0,"c":9007199254740993}""")]
    [InlineData("""{"a":1,"a":2,"__proto__":{"x":1}}""")]
    [InlineData("\"\\ud800\"")]
    [InlineData("null")]
    public async Task Odd_but_valid_json_passes_unchanged(string json)
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("echo");
        (await server.InvokeAsync("echo", json)).GetProperty("result").GetRawText().ShouldBe(json);
    }

    [Fact]
    public async Task A_missing_function_or_version_is_404()
    {
        await using var server = await TestServer.StartAsync();
        await (await server.PostAsync("/api/functions/none/invoke", "{}")).ShouldBeProblemAsync(404, "function_not_found", "name");
        await server.DeployAsync("echo");
        await (await server.PostAsync("/api/functions/echo/invoke?qualifier=7", "{}")).ShouldBeProblemAsync(404, "qualifier_not_found", "qualifier");
        await (await server.PostAsync("/api/functions/echo/invoke?qualifier=prod", "{}")).ShouldBeProblemAsync(404, "qualifier_not_found");
        await (await server.PostAsync("/api/functions/echo/invoke?qualifier=a%20b", "{}")).ShouldBeProblemAsync(400, "invalid_qualifier");
    }

    [Fact]
    public async Task Beyond_the_concurrency_limit_callers_get_429()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = async e =>
        {
            entered.TrySetResult();
            await release.Task;
            return FakeAnswer.Json("1");
        }
            }
        };
        await using var server = await TestServer.StartAsync(engine, args: ["--Flint:Limits:MaxConcurrency", "1"]);
        await server.DeployAsync("slow");
        var first = server.InvokeAsync("slow");
        await entered.Task;
        var refused = await server.PostAsync("/api/functions/slow/invoke", "{}");
        await refused.ShouldBeProblemAsync(429, "throttled");
        refused.Headers.RetryAfter.ShouldNotBeNull();
        release.SetResult();
        (await first).Text("status").ShouldBe("COMPLETED");
        var list = await (await server.GetAsync("/api/invocations")).ReadAsync();
        list.GetProperty("items").GetArrayLength().ShouldBe(1);
    }

    [Fact]
    public async Task An_engine_that_cannot_make_a_sandbox_is_503()
    {
        var engine = new FakeEngine { OnCreate = (_, _) => throw new Flint.Runtime.Sandboxing.EngineException("No room for a sandbox.") };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("echo");
        var problem = await (await server.PostAsync("/api/functions/echo/invoke", "{}")).ShouldBeProblemAsync(503, "engine_unavailable");
        var record = await (await server.GetAsync($"/api/invocations/{problem.Text("invocationId")}")).ReadAsync();
        record.Text("status").ShouldBe("FAILED");
        record.GetProperty("error").Text("type").ShouldBe("EngineUnavailable");
    }

    [Fact]
    public async Task An_update_is_seen_by_the_next_invocation()
    {
        var engine = new FakeEngine { Script = spec => FakeScript.Answering(FakeAnswer.Json(spec.Environment.GetValueOrDefault("MODE", "0"))) };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("f");
        (await server.InvokeAsync("f")).GetProperty("result").GetInt32().ShouldBe(0);
        (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"environment":{"MODE":"7"}}""")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await server.InvokeAsync("f")).GetProperty("result").GetInt32().ShouldBe(7);
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.PostAsync("/api/functions/f/invoke", "{}")).StatusCode.ShouldBe(HttpStatusCode.NotFound);
    }
}
