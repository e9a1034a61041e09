using System.Net;
using System.Text.Json;
using Flint.Server.Tests.Packages;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Api;

public sealed class FunctionTests
{
    [Fact]
    public async Task A_function_lives_from_create_to_delete()
    {
        await using var server = await TestServer.StartAsync();
        var created = await server.DeployAsync("hello", ""","description":"Says hello","environment":{"B":"2","A":"1"}""");
        created.Text("runtime").ShouldBe("python3.11");
        created.GetProperty("timeoutMs").GetInt32().ShouldBe(3000);
        created.GetProperty("tmpMb").GetInt32().ShouldBe(512);
        created.GetProperty("memoryMb").GetInt32().ShouldBe(128);
        created.Text("codeSha256")!.Length.ShouldBe(64);

        var got = await server.GetAsync("/api/functions/hello");
        got.Headers.ETag!.Tag.ShouldBe($"\"{created.Text("revisionId")}\"");
        (await got.ReadAsync()).GetRawText().ShouldBe(created.GetRawText());

        var patched = await (await server.SendAsync(HttpMethod.Patch, "/api/functions/hello", """{"memoryMb":512}""")).ReadAsync();
        patched.GetProperty("memoryMb").GetInt32().ShouldBe(512);
        patched.Text("description").ShouldBe("Says hello");
        patched.Text("revisionId").ShouldNotBe(created.Text("revisionId"));

        (await server.SendAsync(HttpMethod.Delete, "/api/functions/hello")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await (await server.GetAsync("/api/functions/hello")).ShouldBeProblemAsync(404, "function_not_found", "name");
        await server.DeployAsync("hello");
    }

    [Fact]
    public async Task Code_is_replaced_and_downloaded()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        var zip = new ZipBuilder().Add("main.py", "x = 1").Add("lib/a.py", "y").Build();
        var updated = await (await server.PutZipAsync("/api/functions/f/code", zip)).ReadAsync();
        updated.GetProperty("codeSizeBytes").GetInt64().ShouldBe(zip.Length);
        var download = await server.GetAsync("/api/functions/f/code");
        download.Content.Headers.ContentType!.MediaType.ShouldBe("application/zip");
        download.Content.Headers.ContentDisposition!.FileName!.Trim('"').ShouldBe("f-latest.zip");
        download.Headers.ETag!.Tag.ShouldBe($"\"{updated.Text("codeSha256")}\"");
        (await download.Content.ReadAsByteArrayAsync()).ShouldBe(zip);
        (await server.SendAsync(HttpMethod.Get, "/api/functions/f/code", null, ("If-None-Match", download.Headers.ETag.Tag)))
            .StatusCode.ShouldBe(HttpStatusCode.NotModified);

        var inline = await (await server.SendAsync(HttpMethod.Put, "/api/functions/f/code", """{"inline":"z = 3"}""")).ReadAsync();
        inline.Text("codeSha256").ShouldNotBe(updated.Text("codeSha256"));
        var base64 = $$"""{"zip":"{{Convert.ToBase64String(zip)}}"}""";
        (await (await server.SendAsync(HttpMethod.Put, "/api/functions/f/code", base64)).ReadAsync()).Text("codeSha256").ShouldBe(updated.Text("codeSha256"));
        await (await server.PutZipAsync("/api/functions/f/code", new ZipBuilder().Add("../x", "1").Build())).ShouldBeProblemAsync(400, "unsafe_entry_name", "body");
        (await server.GetAsync("/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }

    public static TheoryData<string, string, string> BadCreates => new()
    {
        { """{"name":null,"runtime":"python3.11","handler":"main.handler","code":{"inline":"x"}}""", "missing_field", "name" },
        { """{"name":"a b","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"}}""", "invalid_name", "name" },
        { $$$"""{"name":"{{{new string('n', 65)}}}","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"}}""", "invalid_name", "name" },
        { """{"name":"f","handler":"main.handler","code":{"inline":"x"}}""", "missing_field", "runtime" },
        { """{"name":"f","runtime":"cobol","handler":"main.handler","code":{"inline":"x"}}""", "unknown_runtime", "runtime" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler"}""", "missing_field", "code" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{}}""", "invalid_code", "code" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x","zip":"AA=="}}""", "invalid_code", "code" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"zip":"!!"}}""", "invalid_type", "code.zip" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"zip":"aGVsbG8="}}""", "invalid_zip", "code" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":""}}""", "empty_code", "inline" },
        { """{"name":"f","runtime":"python3.11","code":{"inline":"x"}}""", "missing_field", "handler" },
        { """{"name":"f","runtime":"python3.11","handler":"main","code":{"inline":"x"}}""", "invalid_handler", "handler" },
        { """{"name":"f","runtime":"python3.11","handler":"../main.handler","code":{"inline":"x"}}""", "invalid_handler", "handler" },
        { """{"name":"f","runtime":"nodejs20","handler":"/index.handler","code":{"inline":"x"}}""", "invalid_handler", "handler" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"memoryMb":127}""", "out_of_range", "memoryMb" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"memoryMb":10241}""", "out_of_range", "memoryMb" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"timeoutMs":900001}""", "out_of_range", "timeoutMs" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"timeoutMs":0}""", "out_of_range", "timeoutMs" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"tmpMb":1}""", "out_of_range", "tmpMb" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"memoryMb":"128"}""", "invalid_type", "memoryMb" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"memoryMb":99999999999}""", "invalid_type", "memoryMb" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"freshness":"snapshot","start":"exec"}""", "invalid_field", "start" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"start":"fork"}""", "invalid_field", "start" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"network":"internet"}""", "invalid_field", "network" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"freshness":"stale"}""", "invalid_field", "freshness" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"engine":"docker"}""", "unknown_engine", "engine" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"onDisconnect":"x"}""", "invalid_field", "onDisconnect" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":{"1A":"x"}}""", "invalid_field", "environment.1A" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":{"LD_PRELOAD":"x"}}""", "reserved_variable", "environment.LD_PRELOAD" },
        { $$$"""{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"environment":{"A":"{{{new string('v', 4096)}}}"}}""", "environment_too_large", "environment" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"},"memory":1}""", "unknown_field", "memory" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x","file":"y"}}""", "unknown_field", "code.file" },
        { """{"name":"f","name":"g","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"}}""", "duplicate_field", "name" },
        { """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"\ud800"}}""", "invalid_json", "body" },
        { """{"name":"f",""", "invalid_json", "body" },
        { """[]""", "invalid_type", "body" },
        { """{} {}""", "invalid_json", "body" },
    };

    [Fact]
    public async Task Bad_functions_are_refused_by_field()
    {
        await using var server = await TestServer.StartAsync();
        foreach (var row in BadCreates)
        {
            var (body, code, field) = row.Data;
            await (await server.PostAsync("/api/functions", body)).ShouldBeProblemAsync(400, code, field);
        }

        await (await server.SendAsync(HttpMethod.Post, "/api/functions")).ShouldBeProblemAsync(400, "invalid_json", "body");
        (await (await server.GetAsync("/api/functions")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(0);
    }

    [Fact]
    public async Task Limits_name_their_knob()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Functions:MaxMemoryMb", "256"]);
        var body = """{"name":"f","runtime":"python","handler":"main.handler","code":{"inline":"x"},"memoryMb":512}""";
        var problem = await (await server.PostAsync("/api/functions", body)).ShouldBeProblemAsync(400, "out_of_range", "memoryMb");
        problem.Text("limit").ShouldBe("128 to 256");
        problem.Text("knob").ShouldBe("Flint:Functions:MaxMemoryMb");
    }

    [Fact]
    public async Task A_name_is_taken_once_also_when_many_create_it()
    {
        await using var server = await TestServer.StartAsync();
        var body = """{"name":"f","runtime":"python","handler":"main.handler","code":{"inline":"x"}}""";
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => server.PostAsync("/api/functions", body)));
        answers.Count(answer => answer.StatusCode == HttpStatusCode.Created).ShouldBe(1);
        answers.Count(answer => answer.StatusCode == HttpStatusCode.Conflict).ShouldBe(7);
    }

    [Fact]
    public async Task Of_concurrent_updates_that_saw_one_revision_one_wins()
    {
        await using var server = await TestServer.StartAsync();
        var revision = (await server.DeployAsync("f")).Text("revisionId");
        var answers = await Task.WhenAll(Enumerable.Range(0, 8).Select(i => i % 2 == 0
            ? server.SendAsync(HttpMethod.Patch, "/api/functions/f", $$"""{"memoryMb":{{128 + i}},"revisionId":"{{revision}}"}""")
            : server.SendAsync(HttpMethod.Put, "/api/functions/f/code", """{"inline":"y"}""", ("If-Match", $"\"{revision}\""))));
        answers.Count(answer => answer.StatusCode == HttpStatusCode.OK).ShouldBe(1);
        foreach (var refused in answers.Where(answer => answer.StatusCode != HttpStatusCode.OK))
        {
            await refused.ShouldBeProblemAsync(412, "revision_mismatch", "revisionId");
        }
    }

    [Fact]
    public async Task Lists_page_and_search()
    {
        await using var server = await TestServer.StartAsync();
        foreach (var name in (string[])["b-two", "a-one", "c_three", "d-ONE"])
        {
            await server.DeployAsync(name);
        }

        var first = await (await server.GetAsync("/api/functions?limit=3")).ReadAsync();
        NamesOf(first).ShouldBe(["a-one", "b-two", "c_three"]);
        var second = await (await server.GetAsync($"/api/functions?limit=3&cursor={first.Text("nextCursor")}")).ReadAsync();
        NamesOf(second).ShouldBe(["d-ONE"]);
        second.Has("nextCursor").ShouldBeFalse();
        NamesOf(await (await server.GetAsync("/api/functions?search=one")).ReadAsync()).ShouldBe(["a-one", "d-ONE"]);
        NamesOf(await (await server.GetAsync("/api/functions?search=%25")).ReadAsync()).ShouldBeEmpty();
        await (await server.GetAsync("/api/functions?limit=0")).ShouldBeProblemAsync(400, "invalid_field", "limit");
        await (await server.GetAsync("/api/functions?cursor=***")).ShouldBeProblemAsync(400, "invalid_field", "cursor");
    }

    [Fact]
    public async Task Versions_are_frozen_and_aliases_roll_back()
    {
        var engine = new TestKit.Engines.FakeEngine
        {
            Script = spec => TestKit.Engines.FakeScript.Answering(TestKit.Engines.FakeAnswer.Json(spec.Environment.GetValueOrDefault("V", "0"))),
        };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("f", ""","environment":{"V":"1"}""");
        (await PublishAsync()).GetProperty("version").GetInt32().ShouldBe(1);
        (await PublishAsync()).GetProperty("version").GetInt32().ShouldBe(1);
        await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"environment":{"V":"2"}}""");
        (await PublishAsync()).GetProperty("version").GetInt32().ShouldBe(2);

        (await server.PostAsync("/api/functions/f/aliases", """{"name":"live","version":2}""")).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await server.InvokeAsync("f", "{}", "?qualifier=live")).GetProperty("result").GetInt32().ShouldBe(2);
        var rolled = await (await server.SendAsync(HttpMethod.Put, "/api/functions/f/aliases/live", """{"version":1}""")).ReadAsync();
        rolled.GetProperty("version").GetInt32().ShouldBe(1);
        var record = await server.InvokeAsync("f", "{}", "?qualifier=live");
        record.GetProperty("result").GetInt32().ShouldBe(1);
        record.Text("version").ShouldBe("1");
        record.Text("qualifier").ShouldBe("live");

        await (await server.SendAsync(HttpMethod.Delete, "/api/functions/f/versions/1")).ShouldBeProblemAsync(409, "version_in_use", "version");
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/f?qualifier=2")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        var list = await (await server.GetAsync("/api/functions/f/versions")).ReadAsync();
        list.GetProperty("items").EnumerateArray().Select(v => v.GetProperty("version").GetInt32()).ShouldBe([1]);
        (await (await server.GetAsync("/api/functions/f/versions/1")).ReadAsync()).GetProperty("environment").Text("V").ShouldBe("1");
        (await (await server.GetAsync("/api/functions/f/aliases")).ReadAsync()).GetProperty("items").GetArrayLength().ShouldBe(1);

        await (await server.PostAsync("/api/functions/f/aliases", """{"name":"live","version":1}""")).ShouldBeProblemAsync(409, "alias_exists");
        await (await server.PostAsync("/api/functions/f/aliases", """{"name":"12","version":1}""")).ShouldBeProblemAsync(400, "invalid_name", "name");
        await (await server.PostAsync("/api/functions/f/aliases", """{"name":"next","version":9}""")).ShouldBeProblemAsync(404, "version_not_found");
        await (await server.SendAsync(HttpMethod.Put, "/api/functions/f/aliases/live", """{"version":1,"revisionId":"x"}""")).ShouldBeProblemAsync(412, "revision_mismatch");
        await (await server.GetAsync("/api/functions/f/aliases/none")).ShouldBeProblemAsync(404, "alias_not_found");
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/f/aliases/live")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);

        async Task<JsonElement> PublishAsync() =>
            await (await server.SendAsync(HttpMethod.Post, "/api/functions/f/versions")).ReadAsync(HttpStatusCode.Created);
    }

    private static IEnumerable<string?> NamesOf(JsonElement page) => page.GetProperty("items").EnumerateArray().Select(item => item.Text("name"));

    [Fact]
    public async Task A_deleted_or_changed_function_keeps_no_warm_sandbox()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("gone");
        await server.DeployAsync("changed");
        await server.InvokeAsync("gone");
        await server.InvokeAsync("changed");
        server.Engine.Live.ShouldBe(2);

        (await server.SendAsync(HttpMethod.Delete, "/api/functions/gone")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        (await server.SendAsync(HttpMethod.Patch, "/api/functions/changed", """{"timeoutMs":1000}""")).StatusCode.ShouldBe(HttpStatusCode.OK);
        await Eventually.True(() => server.Engine.Live == 0, "both sandboxes are gone");
    }
}
