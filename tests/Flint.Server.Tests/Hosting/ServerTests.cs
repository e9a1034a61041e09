using System.Net;
using System.Net.Sockets;
using System.Text;
using Flint.Server.Hosting;
using Flint.TestKit.Engines;
using Microsoft.Extensions.Configuration;

namespace Flint.Server.Tests.Hosting;

public sealed class ServerTests
{
    [Fact]
    public async Task What_was_deployed_and_run_survives_a_restart()
    {
        var path = Directory.CreateTempSubdirectory("flint-restart-").FullName;
        try
        {
            string id;
            await using (var server = await TestServer.StartAsync(dataPath: path))
            {
                await server.DeployAsync("f");
                id = (await server.InvokeAsync("f", "[7]")).Text("id")!;
            }

            await using (var server = await TestServer.StartAsync(dataPath: path))
            {
                (await server.InvokeAsync("f", "[8]")).GetProperty("result").GetRawText().ShouldBe("[8]");
                (await (await server.GetAsync($"/api/invocations/{id}")).ReadAsync()).GetProperty("result").GetRawText().ShouldBe("[7]");
            }
        }
        finally
        {
            Directory.Delete(path, recursive: true);
        }
    }

    [Fact]
    public async Task Web_pages_and_strange_bodies_are_kept_out()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        const string Invoke = "/api/functions/f/invoke";
        await (await server.SendAsync(HttpMethod.Get, "/api/functions", null, ("Host", "evil.example"))).ShouldBeProblemAsync(421, "host_not_allowed", "Host");
        await (await server.SendAsync(HttpMethod.Get, "/health/live", null, ("Host", "evil.example:8000"))).ShouldBeProblemAsync(421, "host_not_allowed");
        (await server.SendAsync(HttpMethod.Get, "/api/functions", null, ("Host", "localhost:1"))).StatusCode.ShouldBe(HttpStatusCode.OK);
        await (await server.SendAsync(HttpMethod.Post, Invoke, "{}", ("Origin", "https://evil.example"))).ShouldBeProblemAsync(403, "cross_origin", "Origin");
        await (await server.SendAsync(HttpMethod.Post, Invoke, "{}", ("Origin", "null"))).ShouldBeProblemAsync(403, "cross_origin", "Origin");
        await (await server.SendAsync(HttpMethod.Post, Invoke, "{}", ("Origin", "http://127.0.0.1:1"))).ShouldBeProblemAsync(403, "cross_origin", "Origin");
        await (await server.SendAsync(HttpMethod.Get, "/api/functions", null, ("Sec-Fetch-Site", "cross-site"))).ShouldBeProblemAsync(403, "cross_origin");
        await (await server.SendAsync(HttpMethod.Get, "/api/functions", null, ("Sec-Fetch-Site", "same-site"))).ShouldBeProblemAsync(403, "cross_origin");
        var own = server.Address.GetLeftPart(UriPartial.Authority);
        (await server.SendAsync(HttpMethod.Post, Invoke, "{}", ("Origin", own), ("Sec-Fetch-Site", "same-origin"))).StatusCode.ShouldBe(HttpStatusCode.OK);

        foreach (var type in (string[])["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/zip", "application/jsonx", "application/json; charset=utf-16"])
        {
            var content = new ByteArrayContent("{}"u8.ToArray());
            content.Headers.TryAddWithoutValidation("Content-Type", type);
            await (await server.Http.PostAsync(Invoke, content)).ShouldBeProblemAsync(415, "unsupported_media_type", "Content-Type");
        }

        await (await server.Http.PostAsync(Invoke, new ByteArrayContent("{}"u8.ToArray()))).ShouldBeProblemAsync(415, "unsupported_media_type");
        server.Engine.Created.ShouldBe(1);
    }

    [Fact]
    public async Task The_frameworks_refusals_are_problems_too()
    {
        await using var server = await TestServer.StartAsync();
        await (await server.GetAsync("/nothing/here")).ShouldBeProblemAsync(404, "not_found");
        var answer = await server.SendAsync(HttpMethod.Put, "/api/functions", "{}");
        await answer.ShouldBeProblemAsync(405, "method_not_allowed");
        answer.Content.Headers.Allow.ShouldContain("GET");
        answer.Headers.Server.ShouldBeEmpty();
        await (await server.GetAsync("/api/invocations/not-an-id")).ShouldBeProblemAsync(404, "invocation_not_found", "id");
        await (await server.GetAsync("/api/invocations?start=hot")).ShouldBeProblemAsync(400, "invalid_field", "start");
        await (await server.GetAsync("/api/invocations?status=GONE")).ShouldBeProblemAsync(400, "invalid_field", "status");
        await (await server.GetAsync("/api/invocations?from=yesterday")).ShouldBeProblemAsync(400, "invalid_field", "from");
    }

    [Fact]
    public async Task History_filters_and_pages()
    {
        var engine = new FakeEngine
        {
            Script = spec => spec.MemoryMb == 256
            ? FakeScript.Answering(new FakeAnswer.Error("Unhandled", "E", "m"))
            : new FakeScript()
        };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("good");
        await server.DeployAsync("bad", ""","memoryMb":256""");
        var ids = new List<string?>();
        for (var i = 0; i < 3; i++)
        {
            ids.Add((await server.InvokeAsync("good")).Text("id"));
        }

        ids.Add((await server.InvokeAsync("bad")).Text("id"));
        ids.Reverse();
        (await IdsAsync("")).ShouldBe(ids);
        (await IdsAsync("?function=good")).ShouldBe(ids.Skip(1));
        (await IdsAsync("?status=failed")).ShouldBe(ids.Take(1));
        (await IdsAsync("?function=good&start=cold")).ShouldBe(ids.TakeLast(1));
        (await IdsAsync("?from=2100-01-01T00:00:00Z")).ShouldBeEmpty();
        (await IdsAsync("?to=2100-01-01T00:00:00Z")).ShouldBe(ids);
        var page = await (await server.GetAsync("/api/invocations?limit=3")).ReadAsync();
        page.GetProperty("items").GetArrayLength().ShouldBe(3);
        (await IdsAsync($"?limit=3&cursor={page.Text("nextCursor")}")).ShouldBe(ids.TakeLast(1));

        async Task<string?[]> IdsAsync(string query) =>
            [.. (await (await server.GetAsync("/api/invocations" + query)).ReadAsync()).GetProperty("items").EnumerateArray().Select(item => item.Text("id"))];
    }

    [Theory]
    [InlineData("continue", "COMPLETED")]
    [InlineData("cancel", "CANCELLED")]
    public async Task A_client_that_goes_away_leaves_one_record(string onDisconnect, string status)
    {
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = async _ =>
        {
            entered.TrySetResult();
            await release.Task;
            return FakeAnswer.Json("1");
        }
            }
        };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("f", $$""","timeoutMs":60000,"onDisconnect":"{{onDisconnect}}" """);
        using (var socket = new TcpClient())
        {
            await socket.ConnectAsync(IPAddress.Loopback, server.Address.Port);
            await socket.GetStream().WriteAsync(Encoding.ASCII.GetBytes(
                $"POST /api/functions/f/invoke HTTP/1.1\r\nHost: 127.0.0.1:{server.Address.Port}\r\nContent-Length: 0\r\n\r\n"));
            await entered.Task;
            socket.Client.LingerState = new LingerOption(true, 0);
        }

        if (onDisconnect == "continue")
        {
            release.SetResult();
        }

        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        while (true)
        {
            var items = (await (await server.Http.GetAsync("/api/invocations", patience.Token)).ReadAsync()).GetProperty("items");
            if (items.GetArrayLength() > 0)
            {
                items.EnumerateArray().Single().Text("status").ShouldBe(status);
                break;
            }

            await Task.Yield();
        }

        release.TrySetResult();
    }

    [Fact]
    public async Task Readiness_tells_what_is_missing()
    {
        await using (var server = await TestServer.StartAsync())
        {
            var ready = await (await server.GetAsync("/health/ready")).ReadAsync();
            ready.Text("status").ShouldBe("ready");
            ready.GetProperty("checks").EnumerateArray().Select(check => check.Text("name")).ShouldBe(["store", "engine:native", "invocations", "history", "sandboxes", "loop:history-pruner", "loop:code-pruner", "loop:schedule-ticker", "loop:worker-lease", "loop:job-producer", "loop:job-completer", "loop:rescuer", "loop:expirer", "loop:queue-tidier", "loop:job-code", "loop:sandbox-janitor", "loop:idle-freezer", "loop:idle-pruner"], ignoreOrder: true);
            (await (await server.GetAsync("/api/runtimes")).ReadAsync()).GetProperty("runtimes").EnumerateArray()
                .Select(runtime => $"{runtime.Text("name")}={runtime.GetProperty("aliases")[0]}").ShouldBe(["nodejs20=javascript", "python3.11=python"]);
        }

        await using (var server = await TestServer.StartAsync(new FakeEngine { StartFailure = "No cgroups here; mount some." }))
        {
            var unready = await (await server.GetAsync("/health/ready")).ReadAsync(HttpStatusCode.ServiceUnavailable);
            unready.GetRawText().ShouldContain("No cgroups here");
            (await server.GetAsync("/health/live")).StatusCode.ShouldBe(HttpStatusCode.OK);
            var body = """{"name":"f","runtime":"python","handler":"main.handler","code":{"inline":"x"}}""";
            await (await server.PostAsync("/api/functions", body)).ShouldBeProblemAsync(503, "engine_unavailable", "engine");
        }
    }

    [Fact]
    public async Task Doctor_says_whether_functions_can_run()
    {
        var output = new StringWriter();
        (await Doctor.RunAsync([], output, CancellationToken.None, Fake(new FakeEngine()))).ShouldBe(0);
        output.ToString().ShouldContain("engine native: works");
        (await Doctor.RunAsync([], output, CancellationToken.None, Fake(new FakeEngine { StartFailure = "none" }))).ShouldBe(1);
        output.ToString().ShouldContain("Functions cannot run");

        static Action<Microsoft.AspNetCore.Builder.WebApplicationBuilder> Fake(FakeEngine engine) => builder =>
        {
            Microsoft.Extensions.DependencyInjection.Extensions.ServiceCollectionDescriptorExtensions.RemoveAll<Flint.Runtime.Sandboxing.ISandboxEngine>(builder.Services);
            Microsoft.Extensions.DependencyInjection.ServiceCollectionServiceExtensions.AddSingleton<Flint.Runtime.Sandboxing.ISandboxEngine>(builder.Services, engine);
        };
    }

    [Fact]
    public void All_problems_of_a_configuration_are_told_at_once()
    {
        var exception = Should.Throw<ConfigurationException>(() => Read(
            ("Flint:DataPth", "x"), ("Flint:Http:MaxConnections", "0"), ("Flint:Http:KeepAliveTimeoutMs", "soon"), ("Flint:Packages", "x"),
            ("Flint:History:PayloadMode", "Some"), ("Flint:Limits:MaxPayloadBytes", "0"), ("Flint:Sandbox:AllowUnenforced", "memory,air"),
            ("Flint:Database:ConnectionString", "nonsense;;="), ("urls", "http://0.0.0.0:8000;https://localhost;http://unix:/tmp/x"), ("Kestrel:Endpoints:A:Url", "http://*:1")));
        foreach (var key in (string[])["Flint:DataPth", "MaxConnections", "KeepAliveTimeoutMs", "Flint:Packages:", "PayloadMode", "MaxPayloadBytes", "AllowUnenforced", "ConnectionString", "0.0.0.0", "https://localhost", "unix", "Kestrel"])
        {
            exception.Problems.ShouldContain(problem => problem.Contains(key), key);
        }

        exception.Message.ShouldNotContain("nonsense");
    }

    [Theory]
    [InlineData("http://127.0.0.1:0")]
    [InlineData("http://localhost:9000;http://[::1]:9000")]
    [InlineData("")]
    public void Loopback_addresses_are_taken(string urls) => Read(("urls", urls), ("Flint:Http:AllowedHosts:0", "flint.test")).Flint.Http.AllowedHosts.ShouldBe(["flint.test"]);

    [Theory]
    [InlineData("api", "", "Flint:Roles")]
    [InlineData("boss", "", "Flint:Roles")]
    [InlineData(",", "", "Flint:Roles")]
    [InlineData("api", "Host=db", null)]
    [InlineData("worker", "", null)]
    [InlineData("worker,api", "", null)]
    public void Roles_that_could_do_nothing_are_refused(string roles, string database, string? problem)
    {
        (string Key, string? Value)[] settings = [("Flint:Roles", roles), ("Flint:Database:ConnectionString", database)];
        if (problem is null)
        {
            Read(settings).Roles.HasWorker.ShouldBe(roles != "api");
        }
        else
        {
            Should.Throw<ConfigurationException>(() => Read(settings)).Problems.Single().ShouldContain(problem);
        }
    }

    [Theory]
    [InlineData("http://*:8000")]
    [InlineData("http://+:8000")]
    [InlineData("http://10.0.0.1:8000")]
    [InlineData("http://[::]:8000")]
    [InlineData("http://127.0.0.1.evil.example:8000")]
    [InlineData("http://localhost:70000")]
    [InlineData("localhost")]
    public void Other_addresses_are_refused(string urls) => Should.Throw<ConfigurationException>(() => Read(("urls", urls))).Problems.Count.ShouldBe(1);

    private static FlintConfiguration Read(params (string Key, string? Value)[] values) => FlintConfiguration.Read(
        new ConfigurationBuilder().AddInMemoryCollection(values.Select(pair => KeyValuePair.Create(pair.Key, pair.Value))).Build());
}
