using System.Net;
using System.Text;
using Flint.Server.Tests.Packages;

namespace Flint.Server.Tests.Queue.Jobs;

/// <summary>Hostile and mistaken submissions: each is refused by name, and nothing is enqueued.</summary>
public sealed class JobRefusalTests
{
    [Theory]
    [InlineData("{}", "missing_field", "code")]
    [InlineData("""{"code":null}""", "missing_field", "code")]
    [InlineData("""{"code":""}""", "empty_code", "code")]
    [InlineData("""{"code":1}""", "invalid_type", "code")]
    [InlineData("""{"code":["x"]}""", "invalid_type", "code")]
    [InlineData("""{"code":"a\u0000b"}""", "invalid_field", "code")]
    [InlineData("""{"code":"a\ud800b"}""", "invalid_field", "code")]
    [InlineData("""{"code":"x","files":{"main.js":"x"}}""", "invalid_code", "code")]
    [InlineData("""{"code":"x","code":"y"}""", "duplicate_field", "code")]
    [InlineData("""{"code":"x","c\u006fde":"y"}""", "duplicate_field", "code")]
    [InlineData("""{"code":"x","nothing":1}""", "unknown_field", "nothing")]
    [InlineData("""{"code":"x","Timeout":1}""", "unknown_field", "Timeout")]
    [InlineData("""{"code":"x","\ud800":1}""", "invalid_json", "body")]
    [InlineData("""{"code":"x","args":{}}""", "invalid_type", "args")]
    [InlineData("""{"code":"x","args":"[]"}""", "invalid_type", "args")]
    [InlineData("""{"code":"x","args":1}""", "invalid_type", "args")]
    [InlineData("""{"code":"x","args":[1,]}""", "invalid_json", "body")]
    [InlineData("""{"code":"x","timeout":0}""", "out_of_range", "timeout")]
    [InlineData("""{"code":"x","timeout":-1}""", "out_of_range", "timeout")]
    [InlineData("""{"code":"x","timeout":900001}""", "out_of_range", "timeout")]
    [InlineData("""{"code":"x","timeout":1.5}""", "invalid_type", "timeout")]
    [InlineData("""{"code":"x","timeout":"1"}""", "invalid_type", "timeout")]
    [InlineData("""{"code":"x","timeout":99999999999}""", "invalid_type", "timeout")]
    [InlineData("""{"code":"x","memoryMb":64}""", "out_of_range", "memoryMb")]
    [InlineData("""{"code":"x","memoryMb":10241}""", "out_of_range", "memoryMb")]
    [InlineData("""{"code":"x","cpus":0.049}""", "out_of_range", "cpus")]
    [InlineData("""{"code":"x","cpus":1025}""", "out_of_range", "cpus")]
    [InlineData("""{"code":"x","cpus":1e999}""", "invalid_type", "cpus")]
    [InlineData("""{"code":"x","cpus":"1"}""", "invalid_type", "cpus")]
    [InlineData("""{"code":"x","delayMs":-1}""", "out_of_range", "delayMs")]
    [InlineData("""{"code":"x","delayMs":99999999999999}""", "out_of_range", "delayMs")]
    [InlineData("""{"code":"x","runAt":"9999-12-31T23:59:59Z"}""", "out_of_range", "runAt")]
    [InlineData("""{"code":"x","runAt":"2026-01-01T00:00:00"}""", "invalid_type", "runAt")]
    [InlineData("""{"code":"x","runAt":"2026-01-01"}""", "invalid_type", "runAt")]
    [InlineData("""{"code":"x","runAt":"soon"}""", "invalid_type", "runAt")]
    [InlineData("""{"code":"x","runAt":1}""", "invalid_type", "runAt")]
    [InlineData("""{"code":"x","runAt":"2026-01-01T00:00:00Z","delayMs":1}""", "invalid_field", "runAt")]
    [InlineData("""{"code":"x","ttlMs":0}""", "out_of_range", "ttlMs")]
    [InlineData("""{"code":"x","ttlMs":100,"delayMs":100}""", "out_of_range", "ttlMs")]
    [InlineData("""{"code":"x","retries":-1}""", "out_of_range", "retries")]
    [InlineData("""{"code":"x","retries":21}""", "out_of_range", "retries")]
    [InlineData("""{"code":"x","priority":101}""", "out_of_range", "priority")]
    [InlineData("""{"code":"x","priority":-101}""", "out_of_range", "priority")]
    [InlineData("""{"code":"x","backoff":1}""", "invalid_type", "backoff")]
    [InlineData("""{"code":"x","backoff":{"type":"linear"}}""", "invalid_field", "backoff.type")]
    [InlineData("""{"code":"x","backoff":{"delayMs":-1}}""", "out_of_range", "backoff.delayMs")]
    [InlineData("""{"code":"x","backoff":{"delayMs":10,"maxDelayMs":9}}""", "out_of_range", "backoff.maxDelayMs")]
    [InlineData("""{"code":"x","backoff":{"jitter":1}}""", "invalid_type", "backoff.jitter")]
    [InlineData("""{"code":"x","backoff":{"factor":2}}""", "unknown_field", "backoff.factor")]
    [InlineData("""{"code":"x","backoff":{"delayMs":1,"delayMs":1}}""", "duplicate_field", "backoff.delayMs")]
    [InlineData("""{"code":"x","tags":"a"}""", "invalid_type", "tags")]
    [InlineData("""{"code":"x","tags":[1]}""", "invalid_type", "tags")]
    [InlineData("""{"code":"x","tags":[null]}""", "invalid_type", "tags")]
    [InlineData("""{"code":"x","tags":[""]}""", "invalid_field", "tags")]
    [InlineData("""{"code":"x","tags":["a\u0000"]}""", "invalid_field", "tags")]
    [InlineData("""{"code":"x","tags":["\udfff"]}""", "invalid_field", "tags")]
    [InlineData("""{"code":"x","idempotencyKey":""}""", "invalid_field", "idempotencyKey")]
    [InlineData("""{"code":"x","idempotencyKey":"a\nb"}""", "invalid_field", "idempotencyKey")]
    [InlineData("""{"code":"x","concurrencyKey":""}""", "invalid_field", "concurrencyKey")]
    [InlineData("""{"code":"x","concurrencyLimit":2}""", "missing_field", "concurrencyKey")]
    [InlineData("""{"code":"x","rateLimit":{"starts":1}}""", "missing_field", "concurrencyKey")]
    [InlineData("""{"code":"x","concurrencyKey":"k","concurrencyLimit":0}""", "out_of_range", "concurrencyLimit")]
    [InlineData("""{"code":"x","concurrencyKey":"k","rateLimit":{}}""", "out_of_range", "rateLimit.starts")]
    [InlineData("""{"code":"x","concurrencyKey":"k","rateLimit":{"starts":1,"periodMs":0}}""", "out_of_range", "rateLimit.periodMs")]
    [InlineData("""{"code":"x","concurrencyKey":"k","rateLimit":{"starts":1,"periodMs":2678400001}}""", "out_of_range", "rateLimit.periodMs")]
    [InlineData("""{"code":"x","concurrencyKey":"k","rateLimit":{"start":1}}""", "unknown_field", "rateLimit.start")]
    [InlineData("""{"code":"x","network":"host"}""", "invalid_field", "network")]
    [InlineData("""{"code":"x","globals":"none"}""", "invalid_field", "globals")]
    [InlineData("""{"files":{"main.js":"x"},"globals":"limited"}""", "invalid_field", "globals")]
    [InlineData("""{"code":"x","language":"cobol"}""", "unknown_runtime", "language")]
    [InlineData("""{"code":"x","language":""}""", "unknown_runtime", "language")]
    [InlineData("""{"code":"x","handler":"other.main"}""", "invalid_handler", "handler")]
    [InlineData("""{"code":"x","handler":"main"}""", "invalid_handler", "handler")]
    [InlineData("""{"code":"x","handler":"../main.main"}""", "invalid_handler", "handler")]
    [InlineData("""{"code":"x","environment":{"A":1}}""", "invalid_type", "environment.A")]
    [InlineData("""{"code":"x","environment":{"A":"1","A":"1"}}""", "duplicate_field", "environment.A")]
    [InlineData("""{"code":"x","environment":{"1":"1"}}""", "invalid_field", "environment.1")]
    [InlineData("""{"code":"x","environment":{"LD_PRELOAD":"/x"}}""", "reserved_variable", "environment.LD_PRELOAD")]
    [InlineData("""{"files":{}}""", "empty_code", "files")]
    [InlineData("""{"files":[]}""", "invalid_type", "files")]
    [InlineData("""{"files":{"main.js":1}}""", "invalid_type", "files.main.js")]
    [InlineData("""{"files":{"../main.js":"x"}}""", "unsafe_entry_name", "files")]
    [InlineData("""{"files":{"/main.js":"x"}}""", "unsafe_entry_name", "files")]
    [InlineData("""{"files":{"main.js":"x","main.js":"y"}}""", "duplicate_entry", "files")]
    [InlineData("""{"files":{"main.js":"x","./main.js":"y"}}""", "duplicate_entry", "files")]
    [InlineData("""{"files":{"main.js":"x","main.js/x":"y"}}""", "entry_through_link_or_file", "files")]
    [InlineData("""{"files":{"main.js/":"x"}}""", "unsafe_entry_name", "files")]
    [InlineData("""{"files":{"":"x"}}""", "unsafe_entry_name", "files")]
    [InlineData("""{"files":{"main.py":"x"}}""", "missing_module", "files")]
    [InlineData("""{"zip":"%%%"}""", "invalid_type", "zip")]
    [InlineData("""{"zip":"AAAA"}""", "invalid_zip", "zip")]
    [InlineData("""{"zip":1}""", "invalid_type", "zip")]
    [InlineData("null", "invalid_type", "body")]
    [InlineData("[]", "invalid_type", "body")]
    [InlineData("\"x\"", "invalid_type", "body")]
    [InlineData("", "invalid_json", "body")]
    [InlineData("   ", "invalid_json", "body")]
    [InlineData("""{"code":"x"} x""", "invalid_json", "body")]
    [InlineData("""{"code":"x"}{}""", "invalid_json", "body")]
    [InlineData("""{"code":"x",}""", "invalid_json", "body")]
    [InlineData("""{"code":"x""", "invalid_json", "body")]
    [InlineData("// no\n{}", "invalid_json", "body")]
    public async Task A_bad_submission_is_named(string body, string code, string field)
    {
        await using var server = await JobServer.StartAsync();
        await (await server.PostAsync("/api/jobs", body)).ShouldBeProblemAsync(400, code, field);
        if (!body.StartsWith('[') && body.StartsWith('{') && !body.EndsWith('}'))
        {
            return;
        }

        // The same among many.
        var answer = await server.PostAsync("/api/jobs/bulk", $$"""[{"code":"good"},{{body}}]""");
        if (code != "invalid_json")
        {
            await answer.ShouldBeProblemAsync(400, code, field == "body" ? "jobs[1]" : "jobs[1]." + field);
        }

        await NothingIsThereAsync(server);
    }

    [Fact]
    public async Task What_is_too_large_is_refused_with_its_limit_and_knob()
    {
        await using var server = await JobServer.StartAsync("--Flint:Jobs:MaxCodeBytes", "2000", "--Flint:Jobs:MaxFiles", "3", "--Flint:Jobs:MaxUnzippedBytes", "5000", "--Flint:Jobs:MaxBulk", "4");
        var big = new string('x', 2001);
        (string Body, int Status, string Code, string Field, string? Knob)[] bad =
        [
            ($$"""{"code":"{{big}}"}""", 413, "code_too_large", "code", "Flint:Jobs:MaxCodeBytes"),
            ($$$"""{"files":{"main.js":"{{{big}}}"}}""", 413, "code_too_large", "files.main.js", "Flint:Jobs:MaxCodeBytes"),
            ($$$"""{"files":{"main.js":"{{{big[..1500]}}}","b":"{{{big[..1500]}}}"}}""", 413, "code_too_large", "files", "Flint:Jobs:MaxCodeBytes"),
            ("""{"files":{"main.js":"","b":"","c":"","d":""}}""", 400, "too_many_entries", "files", "Flint:Jobs:MaxFiles"),
            ("""{"files":{"main.js":"","b/c/d":""}}""", 400, "too_many_entries", "files", "Flint:Jobs:MaxFiles"),
            ($$"""{"zip":"{{Convert.ToBase64String(new byte[2001])}}"}""", 413, "code_too_large", "zip", "Flint:Jobs:MaxCodeBytes"),
            ($$"""{"zip":"{{Convert.ToBase64String(new ZipBuilder().Add("main.js"u8.ToArray(), [.. Enumerable.Range(0, 6000).Select(n => (byte)(n * n / 7))], deflate: true).Build())}}"}""", 400, "unzipped_too_large", "zip", "Flint:Jobs:MaxUnzippedBytes"),
            ($$"""{"code":"x","args":["{{new string('x', 10 * 1024 * 1024)}}"]}""", 413, "payload_too_large", "args", "Flint:Limits:MaxPayloadBytes"),
            ($$"""{"code":"x","args":["{{new string('x', 17 * 1024 * 1024)}}"]}""", 413, "body_too_large", "body", "Flint:Jobs:MaxBodyBytes"),
            ($$"""{"code":"x","args":{{Nested(129)}}}""", 400, "invalid_json", "args", "Flint:Limits:MaxJsonDepth"),
            ("{\"code\":\"x\",\"args\":" + new string('[', 100_000), 400, "invalid_json", "args", "Flint:Limits:MaxJsonDepth"),
            ("{\"code\":\"x\",\"tags\":" + new string('[', 100_000), 400, "invalid_type", "tags", null),
            ($$"""{"code":"x","tags":[{{string.Join(',', Enumerable.Range(0, 21).Select(number => $"\"{number}\""))}}]}""", 400, "out_of_range", "tags", null),
            ($$"""{"code":"x","tags":[{{string.Join(',', Enumerable.Range(0, 100_000).Select(number => "\"a\""))}}]}""", 400, "out_of_range", "tags", null),
            ($$"""{"code":"x","tags":["{{new string('t', 101)}}"]}""", 400, "invalid_field", "tags", null),
            ($$"""{"code":"x","concurrencyKey":"{{new string('k', 201)}}"}""", 400, "invalid_field", "concurrencyKey", null),
            ($$"""{"code":"x","idempotencyKey":"{{new string('k', 256)}}"}""", 400, "invalid_field", "idempotencyKey", null),
            ($$"""{"code":"x","language":"{{new string('k', 1_000_000)}}"}""", 400, "out_of_range", "language", null),
            ($$$"""{"code":"x","environment":{"A":"{{{new string('v', 4096)}}}"}}""", 400, "environment_too_large", "environment", "Flint:Functions:MaxEnvironmentBytes"),
        ];
        foreach (var (body, status, code, field, knob) in bad)
        {
            var problem = await (await server.PostAsync("/api/jobs", body)).ShouldBeProblemAsync(status, code, field);
            problem.Text("knob").ShouldBe(knob);
            (knob is null || problem.Has("limit")).ShouldBeTrue(field);
        }

        var five = string.Join(',', Enumerable.Repeat("""{"code":"x"}""", 5));
        (await (await server.PostAsync("/api/jobs/bulk", $"[{five}]")).ShouldBeProblemAsync(400, "out_of_range", "body")).Text("knob").ShouldBe("Flint:Jobs:MaxBulk");
        await (await server.PostAsync("/api/jobs/bulk", "[]")).ShouldBeProblemAsync(400, "out_of_range", "body");
        await (await server.PostAsync("/api/jobs/bulk", """{"code":"x"}""")).ShouldBeProblemAsync(400, "invalid_type", "body");
        await (await server.PostAsync("/api/jobs/bulk", $$"""[{"code":"x"},{"code":"x","args":{{Nested(129)}}}]""")).ShouldBeProblemAsync(400, "invalid_json", "jobs[1].args");
        await NothingIsThereAsync(server);

        // What is just within.
        var within = $$"""{"code":"{{big[..2000]}}","args":{{Nested(128)}},"tags":[{{string.Join(',', Enumerable.Range(0, 20).Select(number => $"\"{number}\""))}}]}""";
        (await server.PostAsync("/api/jobs", within)).StatusCode.ShouldBe(HttpStatusCode.Accepted);
        await server.SubmitAsync($$"""{"code":"{{string.Concat(Enumerable.Repeat("\\n", 2000))}}"}""");
        (await server.PostAsync("/api/jobs/bulk", $"[{string.Join(',', Enumerable.Repeat("""{"code":"x"}""", 4))}]")).StatusCode.ShouldBe(HttpStatusCode.Accepted);
    }

    [Fact]
    public async Task Zips_are_held_to_the_rules_of_packages()
    {
        await using var server = await JobServer.StartAsync();
        var bomb = new ZipBuilder().Add("main.js"u8.ToArray(), new byte[60 * 1024 * 1024], deflate: true).Build();
        await (await PostZipAsync(bomb)).ShouldBeProblemAsync(400, "compression_ratio", "zip");
        var slip = new ZipBuilder().Add("../main.js", "x").Build();
        await (await PostZipAsync(slip)).ShouldBeProblemAsync(400, "unsafe_entry_name", "zip");
        var other = new ZipBuilder().Add("index.js", "x").Build();
        await (await PostZipAsync(other)).ShouldBeProblemAsync(400, "missing_module", "zip");
        await NothingIsThereAsync(server);
        (await PostZipAsync(other, ""","handler":"index.run" """)).StatusCode.ShouldBe(HttpStatusCode.Accepted);

        Task<HttpResponseMessage> PostZipAsync(byte[] zip, string more = "") => server.PostAsync("/api/jobs", $$"""{"zip":"{{Convert.ToBase64String(zip)}}"{{more}}}""");
    }

    [Fact]
    public async Task A_body_that_is_not_utf8_or_not_json_is_refused()
    {
        await using var server = await JobServer.StartAsync();
        foreach (var path in new[] { "/api/jobs", "/api/jobs/bulk" })
        {
            foreach (var body in new byte[][] { [.. "{\"code\":\""u8, 0xC3, 0x28, .. "\"}"u8], [0xEF, 0xBB, 0xBF, .. "{}"u8], [0xFF] })
            {
                var content = new ByteArrayContent(body);
                content.Headers.ContentType = new("application/json");
                await (await server.Http.PostAsync(path, content)).ShouldBeProblemAsync(400, "invalid_json", "body");
            }

            await (await server.Http.PostAsync(path, new StringContent("{}", Encoding.UTF8, "text/plain"))).ShouldBeProblemAsync(415, "unsupported_media_type");
        }

        await NothingIsThereAsync(server);
    }

    [Fact]
    public async Task A_full_queue_answers_429_and_says_when_to_come_again()
    {
        await using var server = await JobServer.StartAsync("--Flint:Queue:MaxWaiting", "3");
        await server.SubmitAsync("""{"code":"x"}""");
        await (await server.PostAsync("/api/jobs/bulk", """[{"code":"x"},{"code":"x"},{"code":"x"}]""")).ShouldBeProblemAsync(429, "throttled");
        await server.SubmitAsync("""{"code":"x","delayMs":100000}""");
        await server.SubmitAsync("""{"code":"x"}""");
        using var full = await server.PostAsync("/api/jobs", """{"code":"x"}""");
        (await full.ShouldBeProblemAsync(429, "throttled")).Text("knob").ShouldBe("Flint:Queue:MaxWaiting");
        full.Headers.RetryAfter!.Delta.ShouldBe(TimeSpan.FromSeconds(1));
    }

    private static string Nested(int depth) => new string('[', depth) + new string(']', depth);

    private static async Task NothingIsThereAsync(TestServer server) =>
        (await (await server.GetAsync("/api/jobs")).ReadAsync()).GetProperty("total").GetInt32().ShouldBe(0);
}
