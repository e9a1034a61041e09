using System.Net;
using System.Text.Json;
using Flint.Data.Catalog;
using Flint.Server.Queue.Functions;
using Flint.Server.Services;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Tests.Queue;

public sealed class AsyncSettingsTests
{
    private const string Defaults = """
        {"maxRetries":2,"maxEventAgeMs":21600000,"backoff":{"type":"exponential","delayMs":60000,"maxDelayMs":300000,"jitter":false},"onSuccess":{"none":true},"onFailure":{"deadLetterList":"default"}}
        """;

    [Fact]
    public async Task Settings_have_lambdas_defaults_and_are_replaced_as_a_whole()
    {
        await using var server = await TestServer.StartAsync();
        (await server.DeployAsync("f")).GetProperty("async").GetRawText().ShouldBe(Defaults.Trim());

        var changed = await PatchAsync(server, """{"async":{"maxRetries":0,"maxEventAgeMs":1000,"backoff":{"type":"fixed","delayMs":0,"jitter":true},"onSuccess":{"function":"g:live"},"onFailure":{"none":true}}}""");
        changed.GetRawText().ShouldBe(
            """{"maxRetries":0,"maxEventAgeMs":1000,"backoff":{"type":"fixed","delayMs":0,"maxDelayMs":300000,"jitter":true},"onSuccess":{"function":"g:live"},"onFailure":{"none":true}}""");
        (await (await server.GetAsync("/api/functions/f")).ReadAsync()).GetProperty("async").GetRawText().ShouldBe(changed.GetRawText());
        (await PatchAsync(server, """{"memoryMb":256}""")).GetRawText().ShouldBe(changed.GetRawText());
        (await PatchAsync(server, """{"async":{}}""")).GetRawText().ShouldBe(Defaults.Trim());
    }

    [Fact]
    public async Task A_version_freezes_them_and_they_make_a_new_one()
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f", ""","async":{"maxRetries":7}""");
        (await server.PostAsync("/api/functions/f/versions", "{}")).StatusCode.ShouldBe(HttpStatusCode.Created);
        await PatchAsync(server, """{"async":{"maxRetries":1}}""");
        (await (await server.PostAsync("/api/functions/f/versions", "{}")).ReadAsync(HttpStatusCode.Created)).GetProperty("version").GetInt32().ShouldBe(2);

        (await (await server.GetAsync("/api/functions/f?qualifier=1")).ReadAsync()).GetProperty("async").GetProperty("maxRetries").GetInt32().ShouldBe(7);
        var catalog = server.Get<FunctionCatalog>();
        (await catalog.ResolveAsync("default", "f", "1", default)).Async.Retry.Retries.ShouldBe(7);
        (await catalog.ResolveAsync("default", "f", null, default)).Async.Retry.Retries.ShouldBe(1);
    }

    [Fact]
    public async Task A_secret_is_kept_with_its_address_and_never_shown()
    {
        await using var server = await TestServer.StartAsync();
        var deployed = await server.DeployAsync("f", ""","async":{"onSuccess":{"webhook":"https://a.example/x","secret":"hush-hush"}}""");
        deployed.GetProperty("async").GetProperty("onSuccess").GetRawText().ShouldBe("""{"webhook":"https://a.example/x","signed":true}""");
        foreach (var path in new[] { "/api/functions/f", "/api/functions" })
        {
            (await (await server.GetAsync(path)).Content.ReadAsStringAsync()).ShouldNotContain("hush-hush");
        }

        (await SecretAsync(server)).ShouldBe("hush-hush");
        await PatchAsync(server, """{"async":{"maxRetries":1,"onSuccess":{"webhook":"https://a.example/x"}}}""");
        (await SecretAsync(server)).ShouldBe("hush-hush");
        (await PatchAsync(server, """{"async":{"onSuccess":{"webhook":"https://b.example/x"}}}""")).GetProperty("onSuccess").GetProperty("signed").GetBoolean().ShouldBeFalse();
        (await SecretAsync(server)).ShouldBeNull();
        await PatchAsync(server, """{"async":{"onSuccess":{"webhook":"https://b.example/x","secret":"other"}}}""");
        await PatchAsync(server, """{"async":{"onSuccess":{"webhook":"https://b.example/x","secret":""}}}""");
        (await SecretAsync(server)).ShouldBeNull();
    }

    [Theory]
    [InlineData("""{"maxRetries":11}""", "out_of_range", "async.maxRetries", "0 to 10")]
    [InlineData("""{"maxRetries":-1}""", "out_of_range", "async.maxRetries")]
    [InlineData("""{"maxEventAgeMs":999}""", "out_of_range", "async.maxEventAgeMs")]
    [InlineData("""{"maxEventAgeMs":604800001}""", "out_of_range", "async.maxEventAgeMs")]
    [InlineData("""{"backoff":{"type":"linear"}}""", "invalid_field", "async.backoff.type")]
    [InlineData("""{"backoff":{"delayMs":-1}}""", "out_of_range", "async.backoff.delayMs")]
    [InlineData("""{"backoff":{"delayMs":10,"maxDelayMs":9}}""", "out_of_range", "async.backoff.maxDelayMs")]
    [InlineData("""{"onSuccess":{}}""", "invalid_field", "async.onSuccess")]
    [InlineData("""{"onSuccess":{"none":false}}""", "invalid_field", "async.onSuccess")]
    [InlineData("""{"onSuccess":{"function":"g","none":true}}""", "invalid_field", "async.onSuccess")]
    [InlineData("""{"onSuccess":{"function":"g","secret":"s"}}""", "invalid_field", "async.onSuccess")]
    [InlineData("""{"onSuccess":{"function":"no such"}}""", "invalid_name", "async.onSuccess.function")]
    [InlineData("""{"onSuccess":{"function":"g:no such"}}""", "invalid_qualifier", "async.onSuccess.function")]
    [InlineData("""{"onSuccess":{"deadLetterList":"a"}}""", "invalid_field", "async.onSuccess.deadLetterList")]
    [InlineData("""{"onFailure":{"deadLetterList":"a b"}}""", "invalid_name", "async.onFailure.deadLetterList")]
    [InlineData("""{"onFailure":{"webhook":"ftp://a.example/"}}""", "invalid_webhook", "async.onFailure.webhook")]
    [InlineData("""{"onFailure":{"webhook":"/hook"}}""", "invalid_webhook", "async.onFailure.webhook")]
    [InlineData("""{"onFailure":{"webhook":"file:///etc/passwd"}}""", "invalid_webhook", "async.onFailure.webhook")]
    [InlineData("""{"onFailure":{"webhook":"http://user:pass@a.example/"}}""", "invalid_webhook", "async.onFailure.webhook")]
    [InlineData("""{"onFailure":{"webhook":"http://169.254.169.254/"}}""", "invalid_webhook", "async.onFailure.webhook", null, "Flint:Webhooks:AllowPrivate")]
    [InlineData("""{"onFailure":{"webhook":"http://[::1]/"}}""", "invalid_webhook", "async.onFailure.webhook", null, "Flint:Webhooks:AllowPrivate")]
    [InlineData("""{"onFailure":{"webhook":"http://2130706433/"}}""", "invalid_webhook", "async.onFailure.webhook", null, "Flint:Webhooks:AllowPrivate")]
    [InlineData("""{"unknown":1}""", "unknown_field", "async.unknown")]
    public async Task What_is_wrong_is_named(string settings, string code, string field, string? limit = null, string? knob = null)
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        var problem = await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", $$"""{"async":{{settings}}}""")).ShouldBeProblemAsync(400, code, field);
        if (limit is not null)
        {
            problem.Text("limit").ShouldBe(limit);
        }

        problem.Text("knob").ShouldBe(knob);
    }

    private static async Task<JsonElement> PatchAsync(TestServer server, string json) =>
        (await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", json)).ReadAsync()).GetProperty("async");

    private static async Task<string?> SecretAsync(TestServer server) => AsyncRules.Parse(
        await server.Get<ICatalogStore>().ReadAsync((db, token) => db.Functions.Select(f => f.AsyncJson).SingleAsync(token), default)).OnSuccess!.Secret;
}
