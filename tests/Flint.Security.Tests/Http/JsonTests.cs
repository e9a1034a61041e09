using System.Net;
using System.Text;
using System.Text.Json;
using Flint.Security.Tests.Attacks;

namespace Flint.Security.Tests.Http;

/// <summary>Group 13, JSON: events and results that parsers choke on or read differently, through the real server, both bootstraps and back.</summary>
public sealed class JsonTests(RealServer server) : IClassFixture<RealServer>
{
    private static readonly Languages[] Both = [Languages.Python, Languages.Node];

    /// <summary>No JSON, by whatever reading: refused before any function sees it.</summary>
    public static IEnumerable<TheoryDataRow<string, byte[]>> Refused =>
    [
        new("100,000 levels", Text(new string('[', 100_000))),
        new("100,000 levels, closed", Text(new string('[', 100_000) + new string(']', 100_000))),
        new("100,000 objects", Text(string.Concat(Enumerable.Repeat("{\"a\":", 100_000)) + "1" + new string('}', 100_000))),
        new("NaN", Text("NaN")),
        new("Infinity", Text("{\"a\":-Infinity}")),
        new("a leading zero", Text("[01]")),
        new("a leading plus", Text("[+1]")),
        new("hexadecimal", Text("[0x10]")),
        new("a byte order mark", [0xEF, 0xBB, 0xBF, (byte)'1']),
        new("UTF-16", Encoding.Unicode.GetBytes("{\"a\":1}")),
        new("invalid UTF-8", [.. Text("[\""), 0xC3, 0x28, .. Text("\"]")]),
        new("overlong UTF-8", [.. Text("[\""), 0xC0, 0xAF, .. Text("\"]")]),
        new("a surrogate in UTF-8", [.. Text("[\""), 0xED, 0xA0, 0x80, .. Text("\"]")]),
        new("NUL", Text("[1]\0")),
        new("NUL in a string", Text("[\"a\0b\"]")),
        new("two values", Text("{}{}")),
        new("a comment", Text("[1 /* no */]")),
        new("a comma at the end", Text("[1,]")),
        new("single quotes", Text("{'a':1}")),
        new("cut off", Text("{\"a\":")),
        new("only spaces", Text("   ")),
    ];

    /// <summary>JSON that is odd: taken, and every reader must survive it. The result is valid JSON again, and one value.</summary>
    public static IEnumerable<TheoryDataRow<string, byte[]>> Odd =>
    [
        new("minus zero", Text("[-0,-0.0]")),
        new("2^53 + 1", Text("[9007199254740993]")),
        new("a number of 4,000 digits", Text("[" + new string('9', 4000) + "]")),
        new("duplicate keys", Text("{\"a\":1,\"a\":2,\"\\u0061\":3}")),
        new("NUL in a key", Text("{\"a\\u0000b\":1,\"\":2}")),
        new("__proto__", Text("{\"__proto__\":{\"polluted\":true},\"constructor\":{\"prototype\":{\"polluted\":true}},\"toString\":1,\"then\":1}")),
        new("names of Python's", Text("{\"__class__\":1,\"self\":2,\"__init__\":{},\"class\":3}")),
        new("300,000 keys", Text("{" + string.Join(',', Enumerable.Range(0, 300_000).Select(static number => $"\"k{number}\":1")) + "}")),
        new("100 levels", Text(new string('[', 100) + new string(']', 100))),
        new("every escape", Text("[\"\\u2028\\u2029\\u0000\\u001f\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\"]")),
    ];

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task What_is_no_JSON_never_reaches_a_function(string what, byte[] body)
    {
        foreach (var language in Both)
        {
            var before = await server.RunsAsync($"{language}-victim");
            var (status, answer) = await server.InvokeAsync($"{language}-victim", body);

            ((int)status).ShouldBeInRange(400, 499, $"{what}: {answer}");
            JsonDocument.Parse(answer).RootElement.GetProperty("code").GetString().ShouldNotBeNullOrEmpty(answer);
            (await server.RunsAsync($"{language}-victim")).ShouldBe(before, what);
        }
    }

    [Theory]
    [MemberData(nameof(Odd))]
    public async Task Odd_JSON_goes_through_and_harms_nobody(string what, byte[] body)
    {
        foreach (var language in Both)
        {
            var (status, answer) = await server.InvokeAsync($"{language}-echo", body);

            status.ShouldBe(HttpStatusCode.OK, $"{what}: {Cut(answer)}");
            using var record = JsonDocument.Parse(answer, new JsonDocumentOptions { MaxDepth = 256 });
            record.RootElement.GetProperty("status").GetString().ShouldBe("COMPLETED", $"{what}: {Cut(answer)}");
            record.RootElement.EnumerateObject().Select(static member => member.Name).ShouldBeUnique("one record, whatever its result holds");
            await PlainAnswerAsync(language);
        }
    }

    /// <summary>Each language reads numbers as it does; what it cannot hold is its own error or its own rounding, never a broken answer.</summary>
    [Theory]
    [InlineData("[1e400]")]
    [InlineData("[-1e400,1e-400]")]
    [InlineData("[1E+999999999]")]
    public async Task A_number_beyond_every_type_is_an_answer_or_an_error(string body)
    {
        foreach (var language in Both)
        {
            var (status, answer) = await server.InvokeAsync($"{language}-echo", Text(body));

            status.ShouldBe(HttpStatusCode.OK, answer);
            var record = JsonDocument.Parse(answer).RootElement;
            TestContext.Current.TestOutputHelper?.WriteLine($"{language}: {answer}");
            record.GetProperty("status").GetString().ShouldBeOneOf("COMPLETED", "FAILED");
            await PlainAnswerAsync(language);
        }
    }

    [Fact]
    public async Task A_number_of_five_megabytes_ends_within_the_timeout()
    {
        var body = Text("[" + new string('7', 5_000_000) + "]");
        foreach (var language in Both)
        {
            var (status, answer) = await server.InvokeAsync($"{language}-echo", body);

            status.ShouldBe(HttpStatusCode.OK, Cut(answer));
            JsonDocument.Parse(answer).RootElement.GetProperty("status").GetString().ShouldBeOneOf(["COMPLETED", "FAILED"], Cut(answer));
            await PlainAnswerAsync(language);
        }
    }

    [Fact]
    public async Task An_event_over_the_limit_is_refused()
    {
        var (status, answer) = await server.InvokeAsync("Python-echo", Text("\"" + new string('7', 10_000_000) + "\""));

        status.ShouldBe(HttpStatusCode.RequestEntityTooLarge, Cut(answer));
    }

    [Fact]
    public async Task Half_a_surrogate_pair_comes_back_as_valid_text()
    {
        foreach (var language in Both)
        {
            var (status, answer) = await server.InvokeAsync($"{language}-echo", Text("{\"\\ud800\":\"\\udfff\"}"));

            TestContext.Current.TestOutputHelper?.WriteLine($"{language}: {answer}");
            status.ShouldBe(HttpStatusCode.OK, answer);
            using var record = JsonDocument.Parse(answer);
            record.RootElement.GetProperty("status").GetString().ShouldBeOneOf("COMPLETED", "FAILED");
        }
    }

    [Theory]
    [InlineData("cyclic", "FAILED")]
    [InlineData("nan", null)]
    [InlineData("infinity", null)]
    [InlineData("lone surrogate", null)]
    [InlineData("large number", null)]
    [InlineData("proto", "COMPLETED")]
    [InlineData("deep\",\"depth\":100,\"x\":\"", "COMPLETED")]
    [InlineData("deep\",\"depth\":129,\"x\":\"", "FAILED")]
    [InlineData("deep\",\"depth\":100000,\"x\":\"", "FAILED")]
    [InlineData("many keys\",\"count\":200000,\"x\":\"", "COMPLETED")]
    public async Task Odd_results_are_answers_or_the_functions_error(string what, string? expected)
    {
        foreach (var language in Both)
        {
            var (status, answer) = await server.InvokeAsync($"{language}-make", Text($"{{\"what\":\"{what}\"}}"));

            TestContext.Current.TestOutputHelper?.WriteLine($"{language}: {Cut(answer)}");
            status.ShouldBe(HttpStatusCode.OK, Cut(answer));
            using var record = JsonDocument.Parse(answer, new JsonDocumentOptions { MaxDepth = 256 });
            record.RootElement.GetProperty("status").GetString().ShouldBeOneOf(expected is null ? ["COMPLETED", "FAILED"] : [expected], Cut(answer));
            await PlainAnswerAsync(language);
        }
    }

    private async Task PlainAnswerAsync(Languages language)
    {
        var (status, answer) = await server.InvokeAsync($"{language}-make", Text("""{"what":"plain"}"""));
        status.ShouldBe(HttpStatusCode.OK, answer);
        JsonDocument.Parse(answer).RootElement.GetProperty("result").GetRawText().Replace(" ", "").ShouldBe("""{"plain":true}""", "nothing of it stays in a warm sandbox");
    }

    private static byte[] Text(string text) => Encoding.UTF8.GetBytes(text);

    private static string Cut(string text) => text.Length <= 600 ? text : text[..600];
}
