using Flint.Security.Tests.Attacks;

namespace Flint.Security.Tests.Http;

/// <summary>
/// Group 13, HTTP: bytes that two parsers may cut into requests differently. Each is sent as it is, with a request for <c>victim</c> hidden where a
/// proxy before the server would take it for a part of the first one's body. There is no proxy here, so what counts is that a doubtful request ends its connection.
/// </summary>
public sealed class SmugglingTests(RealServer server) : IClassFixture<RealServer>
{
    private const string Function = "Python-echo";
    private static readonly string Hidden = Post("Python-victim", "{}");

    public static TheoryDataRow<string, string>[] Doubtful =>
    [
        new("length and chunks", Head("Content-Length: 4", "Transfer-Encoding: chunked") + "0\r\n\r\n" + Hidden),
        new("chunks and length", Head("Transfer-Encoding: chunked", "Content-Length: 4") + "0\r\n\r\n" + Hidden),
        new("two lengths", Head("Content-Length: 2", "Content-Length: 300") + "{}" + Hidden),
        new("two lengths in one", Head("Content-Length: 2, 300") + "{}" + Hidden),
        new("a negative length", Head("Content-Length: -1") + "{}" + Hidden),
        new("a length in hex", Head("Content-Length: 0x2") + "{}" + Hidden),
        new("a length of twenty digits", Head("Content-Length: 18446744073709551618") + "{}" + Hidden),
        new("a length with a space before the colon", Head("Content-Length : 2") + "{}" + Hidden),
        new("a folded header", Head("X-Folded: a\r\n Content-Length: 300", "Content-Length: 2") + "{}" + Hidden),
        new("a folded length", Head("Content-Length:\r\n 2") + "{}" + Hidden),
        new("a space before the first header", $"POST /api/functions/{Function}/invoke HTTP/1.1\r\n Host: localhost\r\n\r\n" + Hidden),
        new("chunked twice", Head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n" + Hidden),
        new("identity and chunked", Head("Transfer-Encoding: identity", "Transfer-Encoding: chunked") + "0\r\n\r\n" + Hidden),
        new("chunked, then something else", Head("Transfer-Encoding: chunked, x") + "0\r\n\r\n" + Hidden),
        new("chunked with a tab", Head("Transfer-Encoding: \x0bchunked", "Content-Length: 4") + "0\r\n\r\n" + Hidden),
        new("a chunk size with a sign", Head("Transfer-Encoding: chunked") + "+2\r\n{}\r\n0\r\n\r\n" + Hidden),
        new("a chunk size that overflows", Head("Transfer-Encoding: chunked") + "10000000000000002\r\n{}\r\n0\r\n\r\n" + Hidden),
        new("a chunk that is longer than it says", Head("Transfer-Encoding: chunked") + "2\r\n{}xx\r\n0\r\n\r\n" + Hidden),
        new("a bare line feed ends a header", $"POST /api/functions/{Function}/invoke HTTP/1.1\r\nHost: localhost\r\nX-A: b\nContent-Length: 300\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}" + Hidden),
        new("a bare carriage return in a header", Head("X-A: b\rContent-Length: 300", "Content-Length: 2") + "{}" + Hidden),
        new("NUL in a header", Head("X-A: b\0c", "Content-Length: 2") + "{}" + Hidden),
        new("two hosts", Head("Host: localhost", "Content-Length: 2") + "{}" + Hidden),
        new("no host", $"POST /api/functions/{Function}/invoke HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}" + Hidden),
        new("HTTP/1.0 with chunks", $"POST /api/functions/{Function}/invoke HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n" + Hidden),
        new("a made-up version", $"POST /api/functions/{Function}/invoke HTTP/1.9\r\nHost: localhost\r\n\r\n" + Hidden),
        new("a thousand headers", Head([.. Enumerable.Range(0, 1000).Select(static number => $"X-{number}: 1"), "Content-Length: 2"]) + "{}" + Hidden),
        new("a header of 64 KB", Head("X-Long: " + new string('x', 65536), "Content-Length: 2") + "{}" + Hidden),
        new("a target of 64 KB", $"GET /{new string('x', 65536)} HTTP/1.1\r\nHost: localhost\r\n\r\n" + Hidden),
        new("a space within the target", $"GET /api/functions HTTP/1.1 HTTP/1.1\r\nHost: localhost\r\n\r\n" + Hidden),
    ];

    [Fact]
    public async Task Two_requests_in_a_row_are_two_answers()
    {
        var before = await server.RunsAsync("Python-victim");

        var answer = await server.SendRawAsync(Post(Function, "{}") + Hidden);

        Statuses(answer).ShouldBe([200, 200], answer);
        (await server.RunsAsync("Python-victim")).ShouldBe(before + 1, "the control: a request behind another one is served when both are whole");
    }

    [Theory]
    [MemberData(nameof(Doubtful))]
    public async Task A_doubtful_request_is_the_last_of_its_connection(string what, string bytes)
    {
        var before = await server.RunsAsync("Python-victim");

        var answer = await server.SendRawAsync(bytes);

        TestContext.Current.TestOutputHelper?.WriteLine($"{what}: {string.Join(", ", Statuses(answer))}");
        Statuses(answer).Count.ShouldBeLessThanOrEqualTo(1, answer);
        (await server.RunsAsync("Python-victim")).ShouldBe(before, answer);
        (await server.SendRawAsync(Post(Function, "{}"))).ShouldStartWith("HTTP/1.1 200", Case.Sensitive, "the server lives");
    }

    [Theory]
    [InlineData("Host: evil.example", 421)]
    [InlineData("Host: localhost.evil.example", 421)]
    [InlineData("Host: 127.0.0.1.nip.io", 421)]
    [InlineData("Host: localhost:80@evil.example", 400)]
    [InlineData("Host: ", 421)]
    [InlineData("Host: localhost\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nForwarded: host=evil.example\r\nX-Original-URL: /api/host\r\nX-Rewrite-URL: /api/host\r\nX-HTTP-Method-Override: DELETE", 200)]
    public async Task A_host_is_what_it_is(string header, int expected)
    {
        var answer = await server.SendRawAsync($"GET /api/functions/{Function} HTTP/1.1\r\n{header}\r\nConnection: close\r\n\r\n");

        Statuses(answer).ShouldBe([expected], answer);
        answer.ShouldNotContain("evil", Case.Insensitive);
        if (expected == 200)
        {
            answer.ShouldContain("\"handler\":\"main.handler\"", Case.Sensitive, "the headers of a proxy change nothing: the function is still there, and shown");
        }
    }

    [Theory]
    [InlineData("//api/functions")]
    [InlineData("/api//functions")]
    [InlineData("/api/functions/..%2f..%2fetc/passwd")]
    [InlineData("/api/functions/%2e%2e/%2e%2e/etc/passwd")]
    [InlineData("/api/functions/%2f..%2f..")]
    [InlineData("/api/functions/..\\..\\")]
    [InlineData("/api/functions/%00")]
    [InlineData("/api/functions/a%0d%0aX-Injected:%201")]
    [InlineData("/api/functions/%ff%fe")]
    [InlineData("/api/functions/%252e%252e")]
    [InlineData("/../../../../etc/passwd")]
    [InlineData("/api/functions/Python-echo/invoke/../../Python-victim")]
    public async Task A_path_finds_nothing_but_what_it_names(string path)
    {
        var answer = await server.SendRawAsync($"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");

        TestContext.Current.TestOutputHelper?.WriteLine(answer);
        var status = Statuses(answer).ShouldHaveSingleItem();
        // Dot segments are resolved before anything looks at the path, so such a one may name what is there.
        (status is 400 or 404 || (status == 200 && path.Contains("/../", StringComparison.Ordinal))).ShouldBeTrue(answer);
        answer.ShouldNotContain("root:x:");
        answer.ShouldNotContain("\r\nX-Injected");
    }

    [Theory]
    [InlineData(Languages.Python)]
    [InlineData(Languages.Node)]
    public async Task Nothing_of_a_result_or_an_error_becomes_a_header(Languages language)
    {
        foreach (var what in (string[])["headers", "error"])
        {
            foreach (var accept in (string[])["application/json", "application/octet-stream"])
            {
                var body = $$"""{"what":"{{what}}"}""";
                var answer = await server.SendRawAsync(
                    $"POST /api/functions/{language}-make/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {accept}\r\nContent-Length: {body.Length}\r\nConnection: close\r\n\r\n{body}");

                Statuses(answer).ShouldBe([200], answer);
                var head = answer[..answer.IndexOf("\r\n\r\n", StringComparison.Ordinal)];
                head.ShouldNotContain("Injected");
            }
        }
    }

    private static string Head(params string[] headers) =>
        $"POST /api/functions/{Function}/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{string.Join("\r\n", headers)}\r\n\r\n";

    private static string Post(string function, string body) =>
        $"POST /api/functions/{function}/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {body.Length}\r\n\r\n{body}";

    private static IReadOnlyList<int> Statuses(string answers) =>
        [.. answers.Split("HTTP/1.1 ").Skip(1).Where(static answer => answer.Length > 3 && answer[4..].Contains("\r\nDate: ", StringComparison.Ordinal)).Select(static answer => int.Parse(answer.AsSpan(0, 3), System.Globalization.CultureInfo.InvariantCulture))];
}
