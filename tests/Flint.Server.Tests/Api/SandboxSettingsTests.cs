using Flint.Runtime.Sandboxing;
using Flint.TestKit.Engines;

namespace Flint.Server.Tests.Api;

/// <summary>Freshness, start and network: from the request to the engine and into the record.</summary>
public sealed class SandboxSettingsTests
{
    [Fact]
    public async Task Settings_reach_the_view_the_version_and_the_engine()
    {
        await using var server = await TestServer.StartAsync();
        var plain = await server.DeployAsync("plain");
        (plain.Text("freshness"), plain.Text("start"), plain.Text("network")).ShouldBe(("warm", "zygote", "none"));

        await server.DeployAsync("f", ",\"freshness\":\"fresh\",\"start\":\"exec\",\"network\":\"egress\"");
        await (await server.PostAsync("/api/functions/f/versions", "{}")).ReadAsync(System.Net.HttpStatusCode.Created);
        await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"start":"zygote","network":"none"}""")).ReadAsync();
        var latest = await (await server.GetAsync("/api/functions/f")).ReadAsync();
        (latest.Text("freshness"), latest.Text("start"), latest.Text("network")).ShouldBe(("fresh", "zygote", "none"));
        var version = await (await server.GetAsync("/api/functions/f?qualifier=1")).ReadAsync();
        (version.Text("freshness"), version.Text("start"), version.Text("network")).ShouldBe(("fresh", "exec", "egress"));

        await server.InvokeAsync("f", query: "?qualifier=1");
        (server.Engine.Last.Spec.Start, server.Engine.Last.Spec.Network).ShouldBe((StartMode.Exec, NetworkAccess.Egress));
        await server.InvokeAsync("f");
        (server.Engine.Last.Spec.Start, server.Engine.Last.Spec.Network).ShouldBe((StartMode.Zygote, NetworkAccess.None));
    }

    [Fact]
    public async Task A_change_of_one_of_these_settings_alone_is_a_new_version()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        var numbers = new List<int>();
        foreach (var change in (string[])["""{"start":"exec"}""", """{"network":"egress"}""", """{"start":"zygote"}"""])
        {
            numbers.Add((await (await server.PostAsync("/api/functions/f/versions", "{}")).ReadAsync(System.Net.HttpStatusCode.Created)).GetProperty("version").GetInt32());
            await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", change)).ReadAsync();
        }

        numbers.ShouldBe([1, 2, 3]);
    }

    [Fact]
    public async Task The_record_says_how_the_sandbox_was_really_started()
    {
        var engine = new FakeEngine { ExecReason = spec => spec.Environment.ContainsKey("NODE_OPTIONS") ? "NODE_OPTIONS is read when the interpreter starts" : null };
        await using var server = await TestServer.StartAsync(engine);
        await server.DeployAsync("forked");
        await server.DeployAsync("wished", ",\"start\":\"exec\"");
        await server.DeployAsync("odd", ""","environment":{"NODE_OPTIONS":"--trace-warnings"}""");

        var forked = await server.InvokeAsync("forked");
        (forked.Text("startMode"), forked.Has("startReason")).ShouldBe(("zygote", false));
        var wished = await server.InvokeAsync("wished");
        (wished.Text("startMode"), wished.Has("startReason")).ShouldBe(("exec", false));
        await server.InvokeAsync("odd");
        var warm = await server.InvokeAsync("odd");
        (warm.Text("start"), warm.Text("startMode"), warm.Text("startReason")).ShouldBe(("warm", "exec", "NODE_OPTIONS is read when the interpreter starts"));

        var kept = await (await server.GetAsync("/api/invocations/" + warm.Text("id"))).ReadAsync();
        (kept.Text("startMode"), kept.Text("startReason")).ShouldBe(("exec", "NODE_OPTIONS is read when the interpreter starts"));
    }

    [Fact]
    public async Task Variables_that_a_snapshot_cannot_obey_are_refused_when_it_is_deployed_or_changed()
    {
        await using var server = await TestServer.StartAsync(new FakeEngine { BootVariables = ["NODE_OPTIONS"] });
        const string Function = """{"name":"f","runtime":"nodejs20","handler":"index.handler","code":{"inline":"x"},"environment":{"A":"b","NODE_OPTIONS":"--x"},"freshness":""";

        var refused = await (await server.PostAsync("/api/functions", Function + "\"snapshot\"}")).ShouldBeProblemAsync(400, "unsupported_freshness", "environment.NODE_OPTIONS");
        refused.Text("detail")!.ShouldContain("NODE_OPTIONS");
        await (await server.PostAsync("/api/functions", Function + "\"fresh\"}")).ReadAsync(System.Net.HttpStatusCode.Created);
        await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"freshness":"snapshot"}""")).ShouldBeProblemAsync(400, "unsupported_freshness", "environment.NODE_OPTIONS");
        await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"freshness":"snapshot","environment":{}}""")).ReadAsync();
        await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"environment":{"NODE_OPTIONS":""}}""")).ShouldBeProblemAsync(400, "unsupported_freshness", "environment.NODE_OPTIONS");
    }

    [Fact]
    public async Task What_the_host_cannot_offer_is_refused_when_it_is_deployed()
    {
        var engine = new FakeEngine();
        engine.Capabilities = engine.Capabilities with { NoSnapshot = "the kernel has no overlay", NoEgress = "there is no pasta" };
        await using var server = await TestServer.StartAsync(engine);
        const string Function = """{"name":"f","runtime":"python3.11","handler":"main.handler","code":{"inline":"x"}""";

        var snapshot = await (await server.PostAsync("/api/functions", Function + ""","freshness":"snapshot"}""")).ShouldBeProblemAsync(400, "unsupported_freshness", "freshness");
        snapshot.Text("detail")!.ShouldContain("the kernel has no overlay");
        var egress = await (await server.PostAsync("/api/functions", Function + ""","network":"egress"}""")).ShouldBeProblemAsync(400, "unsupported_network", "network");
        egress.Text("detail")!.ShouldContain("there is no pasta");

        await server.DeployAsync("g");
        await (await server.SendAsync(HttpMethod.Patch, "/api/functions/g", """{"network":"egress"}""")).ShouldBeProblemAsync(400, "unsupported_network", "network");
        var view = (await (await server.GetAsync("/api/runtimes")).ReadAsync()).GetProperty("engines")[0];
        (view.Text("noSnapshot"), view.Text("noEgress")).ShouldBe(("the kernel has no overlay", "there is no pasta"));
    }

    [Fact]
    public async Task What_the_host_has_lost_is_refused_at_the_invocation_and_other_settings_can_still_change()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f", ",\"network\":\"egress\"");
        server.Engine.Capabilities = server.Engine.Capabilities with { NoEgress = "nftables is gone" };

        var problem = await (await server.PostAsync("/api/functions/f/invoke", "{}")).ShouldBeProblemAsync(503, "engine_unavailable");
        problem.Text("detail")!.ShouldContain("nftables is gone");
        server.Engine.Created.ShouldBe(0);
        await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"memoryMb":256}""")).ReadAsync();
    }

    [Fact]
    public async Task Records_name_the_limits_that_are_unenforced_now()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        (await server.InvokeAsync("f")).Has("unenforced").ShouldBeFalse();
        server.Engine.Capabilities = server.Engine.Capabilities with { Unenforced = ["cpu"] };
        (await server.InvokeAsync("f")).GetProperty("unenforced")[0].GetString().ShouldBe("cpu");
    }
}
