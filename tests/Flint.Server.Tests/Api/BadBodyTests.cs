using System.Net;
using System.Text;

namespace Flint.Server.Tests.Api;

/// <summary>Every route that takes a JSON object takes it strictly.</summary>
public sealed class BadBodyTests
{
    private static readonly (string Method, string Path, string Member, string Text)[] Routes =
    [
        ("POST", "/api/functions", "name", "\"f\""),
        ("PATCH", "/api/functions/f", "description", "\"d\""),
        ("PUT", "/api/functions/f/code", "inline", "\"x\""),
        ("POST", "/api/functions/f/versions", "description", "\"d\""),
        ("POST", "/api/functions/f/aliases", "name", "\"a\""),
        ("PUT", "/api/functions/f/aliases/live", "description", "\"d\""),
    ];

    [Fact]
    public async Task Each_is_a_400_that_names_the_field_and_changes_nothing()
    {
        await using var server = await StartAsync();
        var before = await StateAsync(server);
        foreach (var (method, path, member, text) in Routes)
        {
            var escaped = $"\\u{(int)member[0]:x4}{member[1..]}";
            var name = member;
            (byte[] Body, string Code, string Field)[] bad =
            [
                (U($$"""{"{{name}}":{{text}},"{{name}}":{{text}}}"""), "duplicate_field", name),
                (U($$"""{"{{name}}":{{text}},"{{escaped}}":{{text}}}"""), "duplicate_field", name),
                (U("""{"nothing":1}"""), "unknown_field", "nothing"),
                (U($$"""{"{{char.ToUpperInvariant(name[0])}}{{name[1..]}}":{{text}}}"""), "unknown_field", char.ToUpperInvariant(name[0]) + name[1..]),
                (U($$"""{"{{name}}":1}"""), "invalid_type", name),
                (U($$"""{"{{name}}":[{{text}}]}"""), "invalid_type", name),
                (U($$$"""{"{{{name}}}":{"x":1}}"""), "invalid_type", name),
                (U($$"""{"{{name}}":true}"""), "invalid_type", name),
                (U("null"), "invalid_type", "body"),
                (U("[]"), "invalid_type", "body"),
                (U("1"), "invalid_type", "body"),
                (U("   "), "invalid_json", "body"),
                ([0xEF, 0xBB, 0xBF, .. U("{}")], "invalid_json", "body"),
                (U("{} x"), "invalid_json", "body"),
                (U("{}{}"), "invalid_json", "body"),
                (U("{},"), "invalid_json", "body"),
                (U("{\"a"), "invalid_json", "body"),
                ([.. U("{\"" + name + "\":\""), 0xC3, 0x28, .. U("\"}")], "invalid_json", "body"),
                (U("// no\n{}"), "invalid_json", "body"),
                (U($$"""{"{{name}}":{{text}},}"""), "invalid_json", "body"),
                (U($"{{\"{name}\":" + new string('[', 5000)), "invalid_json", "body"),
                (U($"{{\"{name}\":" + new string('[', 200) + new string(']', 200) + "}"), "invalid_json", "body"),
                (U(Nested(2000)), "unknown_field", "a"),
            ];
            foreach (var (body, code, field) in bad)
            {
                await (await SendAsync(server, method, path, body)).ShouldBeProblemAsync(400, code, field);
            }
        }

        (await StateAsync(server)).ShouldBe(before);
    }

    [Theory]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":null}""", "missing_field", "code")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":null,"handler":"main.handler","code":{"inline":"x"}}""", "missing_field", "runtime")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":null,"code":{"inline":"x"}}""", "missing_field", "handler")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":null}}""", "invalid_code", "code")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":"x"}""", "invalid_type", "code")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"timeoutMs":1.5}""", "invalid_type", "timeoutMs")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":[]}""", "invalid_type", "environment")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":{"A":1}}""", "invalid_type", "environment.A")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":{"A":null}}""", "invalid_field", "environment.A")]
    [InlineData("POST", "/api/functions", """{"name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":{"A":"1","A":"2"}}""", "duplicate_field", "environment.A")]
    [InlineData("PATCH", "/api/functions/f", """{"environment":{"A":null}}""", "invalid_field", "environment.A")]
    [InlineData("PATCH", "/api/functions/f", """{"memoryMb":"256"}""", "invalid_type", "memoryMb")]
    [InlineData("PATCH", "/api/functions/f", """{"name":"g"}""", "unknown_field", "name")]
    [InlineData("PUT", "/api/functions/f/code", """{"inline":null}""", "invalid_code", "body")]
    [InlineData("PUT", "/api/functions/f/code", """{"zip":"not base64"}""", "invalid_type", "zip")]
    [InlineData("POST", "/api/functions/f/versions", """{"codeSha256":1}""", "invalid_type", "codeSha256")]
    [InlineData("POST", "/api/functions/f/aliases", """{"name":null,"version":1}""", "missing_field", "name")]
    [InlineData("POST", "/api/functions/f/aliases", """{"name":"a","version":null}""", "missing_field", "version")]
    [InlineData("POST", "/api/functions/f/aliases", """{"name":"a","version":"1"}""", "invalid_type", "version")]
    [InlineData("PUT", "/api/functions/f/aliases/live", """{"version":1e99}""", "invalid_type", "version")]
    public async Task Values_that_cannot_be_are_named(string method, string path, string body, string code, string field)
    {
        await using var server = await StartAsync();
        await (await SendAsync(server, method, path, U(body))).ShouldBeProblemAsync(400, code, field);
    }

    private static byte[] U(string text) => Encoding.UTF8.GetBytes(text);

    private static string Nested(int depth) => string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth);

    private static async Task<TestServer> StartAsync()
    {
        var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        (await server.PostAsync("/api/functions/f/versions", "{}")).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await server.PostAsync("/api/functions/f/aliases", """{"name":"live","version":1}""")).StatusCode.ShouldBe(HttpStatusCode.Created);
        return server;
    }

    private static Task<HttpResponseMessage> SendAsync(TestServer server, string method, string path, byte[] body)
    {
        var content = new ByteArrayContent(body);
        content.Headers.ContentType = new("application/json");
        return server.Http.SendAsync(new HttpRequestMessage(new HttpMethod(method), path) { Content = content });
    }

    private static async Task<string> StateAsync(TestServer server) => string.Join('\n', await Task.WhenAll(
        new[] { "/api/functions", "/api/functions/f/versions", "/api/functions/f/aliases" }.Select(path => server.Http.GetStringAsync(path))));
}
