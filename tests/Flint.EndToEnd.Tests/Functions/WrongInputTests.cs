using System.Net;
using System.Text;
using Flint.EndToEnd.Tests.Hosting;

namespace Flint.EndToEnd.Tests.Functions;

/// <summary>What a mistaken or hostile request gets from the real server, and that the server goes on.</summary>
public sealed class WrongInputTests(Release release, RunningServer running) : IClassFixture<RunningServer>
{
    private FlintApi Api => running.Server.Api;

    [Theory]
    [InlineData("""{"name":"x","runtime":"cobol","handler":"main.handler","code":{"inline":"pass"}}""", "runtime")]
    [InlineData("""{"name":"no spaces","runtime":"python","handler":"main.handler","code":{"inline":"pass"}}""", "name")]
    [InlineData("""{"name":"x","runtime":"python","handler":"main","code":{"inline":"pass"}}""", "handler")]
    [InlineData("""{"name":"x","runtime":"python","handler":"main.handler"}""", "code")]
    [InlineData("""{"name":"x","runtime":"python","handler":"main.handler","memoryMb":1,"code":{"inline":"pass"}}""", "memoryMb")]
    [InlineData("""{"name":"x","runtime":"python","handler":"main.handler","freshness":"stale","code":{"inline":"pass"}}""", "freshness")]
    [InlineData("""{"name":"x","runtime":"python","handler":"main.handler","code":{"zip":"bm90IGEgemlw"}}""", "code")]
    public async Task A_wrong_member_is_named(string body, string field)
    {
        var answer = await Api.SendAsync(HttpMethod.Post, "/api/functions", body);

        ((int)answer.Status).ShouldBeInRange(400, 422, answer.Text);
        answer.Json["field"]!.GetValue<string>().ShouldBe(field, answer.Text);
        answer.Json["code"]!.GetValue<string>().ShouldNotBeNullOrWhiteSpace();
        answer.Json["detail"]!.GetValue<string>().ShouldNotBeNullOrWhiteSpace();
    }

    [Fact]
    public async Task Bad_json_a_missing_function_and_a_missing_version_are_problems_not_invocations()
    {
        await Api.CreateAsync(new { name = "there", runtime = "python", handler = "main.handler", code = new { inline = "def handler(e, c): pass\n" } });

        (await Api.SendAsync(HttpMethod.Post, "/api/functions", "{")).Status.ShouldBe(HttpStatusCode.BadRequest);
        (await Api.SendAsync(HttpMethod.Post, "/api/functions/there/invoke", "{")).Status.ShouldBe(HttpStatusCode.BadRequest);
        (await Api.SendAsync(HttpMethod.Post, "/api/functions/gone/invoke", "{}")).Status.ShouldBe(HttpStatusCode.NotFound);
        (await Api.SendAsync(HttpMethod.Post, "/api/functions/there/invoke?qualifier=7", "{}")).Status.ShouldBe(HttpStatusCode.NotFound);

        (await Api.GetAsync("/api/invocations?function=there")).Json["items"]!.AsArray().ShouldBeEmpty();
    }

    [Fact]
    public async Task A_web_page_cannot_run_code()
    {
        using var foreignHost = new HttpRequestMessage(HttpMethod.Get, "/api/functions");
        foreignHost.Headers.Host = "attacker.example";
        using var foreignOrigin = new HttpRequestMessage(HttpMethod.Get, "/api/functions");
        foreignOrigin.Headers.Add("Origin", "http://attacker.example");
        using var form = new HttpRequestMessage(HttpMethod.Post, "/api/functions")
        {
            Content = new StringContent("{}", Encoding.UTF8, "text/plain"),
        };

        foreach (var request in (HttpRequestMessage[])[foreignHost, foreignOrigin, form])
        {
            using var answer = await Api.Http.SendAsync(request);
            ((int)answer.StatusCode).ShouldBeInRange(400, 421);
        }
    }

    [Fact]
    public async Task Only_loopback_is_bound()
    {
        using var directory = new TemporaryDirectory();

        var result = await Shell.RunAsync(
            $"dotnet {release.Directory}/Flint.Server.dll --urls http://0.0.0.0:0 --Flint:DataPath {directory.Path}", directory.Path, TimeSpan.FromSeconds(30));

        result.ExitCode.ShouldNotBe(0, result.Output);
        result.Output.ShouldContain("loopback");
    }

    [Theory]
    [InlineData("while True: pass", "TimedOut")]
    [InlineData("import os; os._exit(3)", "ExitedEarly")]
    [InlineData("blocks = []\n    while True: blocks.append(bytearray(1 << 20))", "OutOfMemory")]
    [InlineData("return 'x' * 100_000_000", "ResponseTooLarge")]
    // A thousand interpreters: whichever limit they meet first.
    [InlineData("import os\n    while True:\n        try: os.fork()\n        except OSError: pass", "TimedOut or OutOfMemory")]
    [InlineData("while True: print('x' * 1000)", "TimedOut")]
    [InlineData("import os; os.write(3, bytes(64)); return 1", "ProtocolViolation")]
    [InlineData("import os; os.closerange(3, 64); return 1", "ExitedEarly")]
    [InlineData("return {1, 2}", "InvalidResponse")]
    public async Task A_guest_that_misbehaves_gets_its_error_and_the_next_invocation_works(string body, string expected)
    {
        var name = $"bad-{Guid.NewGuid():N}";
        await Api.CreateAsync(new
        {
            name,
            runtime = "python",
            handler = "main.handler",
            // Room for a 100 MB result; the one without end fills any.
            memoryMb = 512,
            // Only those that must run out of time get little of it: a busy machine is slow to fill memory.
            timeoutMs = expected.StartsWith("TimedOut", StringComparison.Ordinal) ? 3000 : 60000,
            code = new { inline = $"def handler(event, context):\n    if event == 'well': return 'well'\n    {body}\n" },
        });

        var answer = await Api.InvokeAsync(name);

        answer["status"]!.GetValue<string>().ShouldBe("FAILED");
        expected.Split(" or ").ShouldContain(answer["error"]!["type"]!.GetValue<string>(), answer.ToJsonString());
        (await Api.InvokeAsync(name, "\"well\""))["result"]!.GetValue<string>().ShouldBe("well");
    }
}
