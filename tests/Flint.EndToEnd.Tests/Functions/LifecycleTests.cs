using System.IO.Compression;
using System.Net;
using System.Net.Http.Headers;
using System.Text;
using Flint.EndToEnd.Tests.Hosting;

namespace Flint.EndToEnd.Tests.Functions;

/// <summary>One server, both languages: from the first deployment to the roll back.</summary>
public sealed class LifecycleTests(Release release) : IAsyncLifetime
{
    private readonly TemporaryDirectory _directory = new();
    private FlintServer _server = null!;

    private FlintApi Api => _server.Api;

    public async ValueTask InitializeAsync() => _server = await FlintServer.StartAsync(release, _directory.Path);

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _directory.Dispose();
    }

    public static TheoryData<string, string, string, string> Languages => new()
    {
        {
            "python", "main.handler",
            "def handler(event, context):\n    print('seen', event['n'])\n    return {'release': RELEASE, 'twice': event['n'] * 2}\n",
            "KeyError"
        },
        {
            "javascript", "index.handler",
            "exports.handler = async (event) => { console.log('seen', event.n.toString()); return { release: RELEASE, twice: event.n * 2 }; };\n",
            "TypeError"
        },
    };

    [Theory]
    [MemberData(nameof(Languages))]
    public async Task A_function_is_deployed_invoked_updated_published_and_rolled_back(string runtime, string handler, string code, string errorName)
    {
        await Api.CreateAsync(new { name = "life", runtime, handler, code = new { inline = code.Replace("RELEASE", "1") } });

        var first = await Api.InvokeAsync("life", """{"n": 21}""");
        first["status"]!.GetValue<string>().ShouldBe("COMPLETED");
        first["start"]!.GetValue<string>().ShouldBe("cold");
        first["result"]!.ToJsonString().ShouldBe("""{"release":1,"twice":42}""");
        var second = await Api.InvokeAsync("life", """{"n": 4}""");
        second["start"]!.GetValue<string>().ShouldBe("warm");

        (await Api.SendAsync(HttpMethod.Post, "/api/functions/life/versions", "{}")).Json["version"]!.GetValue<int>().ShouldBe(1);
        await AliasAsync(HttpMethod.Post, "aliases", new { name = "live", version = 1 });

        var update = await Api.SendAsync(
            HttpMethod.Put, "/api/functions/life/code", FlintApi.JsonOf(new { inline = code.Replace("RELEASE", "2") }));
        update.Status.ShouldBe(HttpStatusCode.OK, update.Text);
        (await ReleaseOfAsync("")).ShouldBe(2);
        (await ReleaseOfAsync("?qualifier=1")).ShouldBe(1);
        (await ReleaseOfAsync("?qualifier=live")).ShouldBe(1);

        (await Api.SendAsync(HttpMethod.Post, "/api/functions/life/versions", "{}")).Json["version"]!.GetValue<int>().ShouldBe(2);
        await AliasAsync(HttpMethod.Put, "aliases/live", new { version = 2 });
        (await ReleaseOfAsync("?qualifier=live")).ShouldBe(2);
        await AliasAsync(HttpMethod.Put, "aliases/live", new { version = 1 });
        (await ReleaseOfAsync("?qualifier=live")).ShouldBe(1);

        var failed = await Api.InvokeAsync("life", "{}");
        failed["status"]!.GetValue<string>().ShouldBe("FAILED");
        failed["error"]!["type"]!.GetValue<string>().ShouldBe("Unhandled");
        failed["error"]!["name"]!.GetValue<string>().ShouldBe(errorName);
        failed["error"]!["stackTrace"]!.AsArray().ShouldNotBeEmpty();

        var record = (await Api.GetAsync($"/api/invocations/{first["id"]}")).Json;
        record["result"]!.ToJsonString().ShouldBe("""{"release":1,"twice":42}""");
        record["logs"]!.AsArray().ShouldContain(line => line!["text"]!.GetValue<string>().Contains("seen 21"));
        var failures = (await Api.GetAsync("/api/invocations?function=life&status=FAILED")).Json["items"]!.AsArray();
        failures.Select(item => item!["id"]!.GetValue<string>()).ShouldBe([failed["id"]!.GetValue<string>()]);

        (await Api.SendAsync(HttpMethod.Delete, "/api/functions/life", body: null)).Status.ShouldBe(HttpStatusCode.NoContent);
        (await Api.SendAsync(HttpMethod.Post, "/api/functions/life/invoke", "{}")).Status.ShouldBe(HttpStatusCode.NotFound);
        (await Api.GetAsync($"/api/invocations/{first["id"]}")).Status.ShouldBe(HttpStatusCode.OK);
    }

    [Fact]
    public async Task Settings_change_without_the_code()
    {
        await Api.CreateAsync(new
        {
            name = "settings",
            runtime = "python",
            handler = "main.handler",
            code = new { inline = "import os\ndef handler(event, context):\n    return [os.environ.get('COLOUR'), context.memory_limit_in_mb]\n" },
            environment = new { COLOUR = "red" },
        });
        (await Api.InvokeAsync("settings"))["result"]!.ToJsonString().ShouldBe("""["red","128"]""");

        var change = await Api.SendAsync(HttpMethod.Patch, "/api/functions/settings", """{"memoryMb":256,"environment":{"COLOUR":"blue"}}""");

        change.Status.ShouldBe(HttpStatusCode.OK, change.Text);
        (await Api.InvokeAsync("settings"))["result"]!.ToJsonString().ShouldBe("""["blue","256"]""");
    }

    [Fact]
    public async Task Only_the_result_is_answered_as_bytes_when_asked_so()
    {
        await Api.CreateAsync(new
        {
            name = "bytes",
            runtime = "python",
            handler = "main.handler",
            code = new { inline = "def handler(event, context):\n    return 1 / event['by']\n" },
        });

        using var good = await InvokeForBytesAsync("""{"by": 4}""");
        (await good.Content.ReadAsStringAsync()).ShouldBe("0.25");
        good.Headers.Contains("X-Flint-Function-Error").ShouldBeFalse();
        using var bad = await InvokeForBytesAsync("""{"by": 0}""");
        bad.StatusCode.ShouldBe(HttpStatusCode.OK);
        bad.Headers.GetValues("X-Flint-Function-Error").ShouldHaveSingleItem();
    }

    [Fact]
    public async Task A_raw_zip_is_uploaded_and_downloaded_again_unchanged()
    {
        await Api.CreateAsync(new { name = "zipped", runtime = "python", handler = "app.main.handler", code = new { inline = "def handler(e, c): pass\n" } });
        var archive = ZipOf(("app/__init__.py", ""), ("app/main.py", "from app.words import WORD\ndef handler(e, c):\n    return WORD\n"), ("app/words.py", "WORD = 'zipped'\n"));

        using var content = new ByteArrayContent(archive);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/zip");
        var update = await Api.SendAsync(HttpMethod.Put, "/api/functions/zipped/code", content);

        update.Status.ShouldBe(HttpStatusCode.OK, update.Text);
        (await Api.InvokeAsync("zipped"))["result"]!.GetValue<string>().ShouldBe("zipped");
        (await Api.Http.GetByteArrayAsync("/api/functions/zipped/code")).ShouldBe(archive);
    }

    [Fact]
    public async Task History_and_functions_outlive_a_restart()
    {
        await Api.CreateAsync(new { name = "lasting", runtime = "python", handler = "main.handler", code = new { inline = "def handler(e, c):\n    return e\n" } });
        var before = await Api.InvokeAsync("lasting", "[1,2]");
        (await _server.StopAsync()).ShouldBe(0, _server.Output);
        await _server.DisposeAsync();

        _server = await FlintServer.StartAsync(release, _directory.Path);

        (await Api.GetAsync($"/api/invocations/{before["id"]}")).Json["result"]!.ToJsonString().ShouldBe("[1,2]");
        (await Api.InvokeAsync("lasting", "[3]"))["result"]!.ToJsonString().ShouldBe("[3]");
    }

    private async Task<int> ReleaseOfAsync(string query) =>
        (await Api.InvokeAsync("life", """{"n": 1}""", query))["result"]!["release"]!.GetValue<int>();

    private async Task AliasAsync(HttpMethod method, string path, object body)
    {
        var answer = await Api.SendAsync(method, $"/api/functions/life/{path}", FlintApi.JsonOf(body));
        ((int)answer.Status).ShouldBeInRange(200, 201, answer.Text);
    }

    private async Task<HttpResponseMessage> InvokeForBytesAsync(string payload)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "/api/functions/bytes/invoke")
        {
            Content = new StringContent(payload, Encoding.UTF8, "application/json"),
        };
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/octet-stream"));
        return await Api.Http.SendAsync(request);
    }

    private static byte[] ZipOf(params (string Name, string Text)[] files)
    {
        var memory = new MemoryStream();
        using (var archive = new ZipArchive(memory, ZipArchiveMode.Create, leaveOpen: true))
        {
            foreach (var (name, text) in files)
            {
                using var writer = new StreamWriter(archive.CreateEntry(name).Open());
                writer.Write(text);
            }
        }

        return memory.ToArray();
    }
}
