using System.Net;
using Flint.Data.Blobs;
using Flint.Data.Catalog;
using Flint.Data.Tests.Postgres;
using Flint.Server.Services;
using Flint.Server.Tests.Support;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Tests.Postgres;

/// <summary>The server on a real PostgreSQL, alone and with others on the same database.</summary>
public sealed class SharedDatabaseTests(PostgresFixture postgres)
{
    [Fact]
    public async Task Deploy_invoke_list_and_restart()
    {
        var database = await postgres.CreateDatabaseAsync();
        string id;
        await using (var server = await StartAsync(database))
        {
            var deployed = await server.DeployAsync("f", ""","environment":{"A":"ä"}""");
            (await server.PostAsync("/api/functions/f/versions", "{}")).StatusCode.ShouldBe(HttpStatusCode.Created);
            (await server.PostAsync("/api/functions/f/aliases", """{"name":"live","version":1}""")).StatusCode.ShouldBe(HttpStatusCode.Created);
            id = (await server.InvokeAsync("f", "[7]", "?qualifier=live")).Text("id")!;
            (await (await server.GetAsync("/api/functions?search=F")).ReadAsync()).GetProperty("items")[0].GetRawText()
                .ShouldBe((await (await server.GetAsync("/api/functions/f")).ReadAsync()).GetRawText());
            (await (await server.GetAsync("/api/invocations?function=f")).ReadAsync()).GetProperty("items")[0].Text("id").ShouldBe(id);
            await (await server.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"memoryMb":256}""", ("If-Match", "\"other\""))).ShouldBeProblemAsync(412, "revision_mismatch");
            await (await server.PostAsync("/api/functions", """{"name":"f","runtime":"python","handler":"main.handler","code":{"inline":"x"}}""")).ShouldBeProblemAsync(409, "function_exists");
            deployed.Text("createdAt").ShouldBe((await (await server.GetAsync("/api/functions/f")).ReadAsync()).Text("createdAt"));
        }

        // Another data directory: all that must last is in the database.
        await using (var server = await StartAsync(database))
        {
            (await (await server.GetAsync($"/api/invocations/{id}")).ReadAsync()).GetProperty("result").GetRawText().ShouldBe("[7]");
            (await server.InvokeAsync("f", "[8]", "?qualifier=live")).GetProperty("result").GetRawText().ShouldBe("[8]");
            (await server.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
            (await server.GetAsync($"/api/invocations/{id}")).StatusCode.ShouldBe(HttpStatusCode.OK);
        }
    }

    [Fact]
    public async Task Two_servers_see_each_others_changes_within_a_second()
    {
        var database = await postgres.CreateDatabaseAsync();
        var time = new ShiftedTime();
        await using var one = await StartAsync(database);
        await using var two = await StartAsync(database, time);
        await one.DeployAsync("f", ""","history":"strict" """);
        var record = await two.InvokeAsync("f");
        record.GetProperty("memoryMb").GetInt32().ShouldBe(128);
        (await (await one.GetAsync($"/api/invocations/{record.Text("id")}")).ReadAsync()).Text("status").ShouldBe("COMPLETED");

        (await one.SendAsync(HttpMethod.Patch, "/api/functions/f", """{"memoryMb":256}""")).StatusCode.ShouldBe(HttpStatusCode.OK);
        time.Advance(TimeSpan.FromSeconds(1));
        (await two.InvokeAsync("f")).GetProperty("memoryMb").GetInt32().ShouldBe(256);
        (await one.SendAsync(HttpMethod.Put, "/api/functions/f/code", """{"inline":"other = 1"}""")).StatusCode.ShouldBe(HttpStatusCode.OK);
        time.Advance(TimeSpan.FromSeconds(1));
        (await two.InvokeAsync("f")).Text("start").ShouldBe("cold");
        (await one.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        time.Advance(TimeSpan.FromSeconds(1));
        await (await two.PostAsync("/api/functions/f/invoke", "{}")).ShouldBeProblemAsync(404, "function_not_found");
    }

    [Fact]
    public async Task A_package_that_is_stored_while_another_server_forgets_it_stays()
    {
        var database = await postgres.CreateDatabaseAsync();
        HookedBlobs? blobs = null;
        await using var one = await StartAsync(database);
        await using var two = await StartAsync(database, null, services => Decoration.Decorate<IBlobStore>(services, inner => blobs = new HookedBlobs(inner)));
        var sha256 = (await one.DeployAsync("f", code: "same = 1")).Text("codeSha256")!;
        (await one.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await AgeAsync(one, sha256);

        // Between the commit that removes the row and the removal of the bytes.
        blobs!.BeforeDelete = () => one.DeployAsync("f", code: "same = 1");
        (await two.Get<PackageService>().ForgetUnnamedAsync(CancellationToken.None)).ShouldBe(1);
        (await one.GetAsync("/api/functions/f/code")).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await one.InvokeAsync("f")).Text("status").ShouldBe("COMPLETED");

        blobs.BeforeDelete = () => Task.CompletedTask;
        (await one.SendAsync(HttpMethod.Delete, "/api/functions/f")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await AgeAsync(one, sha256);
        (await two.Get<PackageService>().ForgetUnnamedAsync(CancellationToken.None)).ShouldBe(1);
        (await one.Get<IBlobStore>().OpenAsync("default", sha256, CancellationToken.None)).ShouldBeNull();
    }

    [Fact]
    public async Task Two_servers_that_store_and_forget_one_package_at_once_lose_nothing()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var one = await StartAsync(database);
        await using var two = await StartAsync(database);
        await one.DeployAsync("first", code: "same = 1");
        for (var round = 0; round < 10; round++)
        {
            var sha256 = (await (await one.GetAsync("/api/functions/first")).ReadAsync()).Text("codeSha256")!;
            (await one.SendAsync(HttpMethod.Delete, "/api/functions/first")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
            await two.SendAsync(HttpMethod.Delete, "/api/functions/second");
            await AgeAsync(one, sha256);
            await Task.WhenAll(
                one.DeployAsync("first", code: "same = 1"), two.DeployAsync("second", code: "same = 1"),
                one.Get<PackageService>().ForgetUnnamedAsync(CancellationToken.None), two.Get<PackageService>().ForgetUnnamedAsync(CancellationToken.None));
            (await one.GetAsync("/api/functions/first/code")).StatusCode.ShouldBe(HttpStatusCode.OK);
        }
    }

    [Fact]
    public async Task Text_that_postgres_refuses_is_the_callers_fault()
    {
        await using var server = await StartAsync(await postgres.CreateDatabaseAsync());
        foreach (var path in (string[])["/api/functions?search=%00", "/api/functions?cursor=YQBi", "/api/functions/f/versions?cursor=AA", "/api/invocations?function=a%00b",
            "/api/invocations?cursor=AA", "/api/functions/f?qualifier=%00", "/api/invocations/%61%00"])
        {
            var status = (int)(await server.GetAsync(path)).StatusCode;
            status.ShouldBeInRange(400, 499, path);
        }
    }

    private static Task<TestServer> StartAsync(
        string database, ShiftedTime? time = null, Action<Microsoft.Extensions.DependencyInjection.IServiceCollection>? services = null) =>
        TestServer.StartAsync(services: services, time: time, args: ["--Flint:Database:ConnectionString", database]);

    private static Task AgeAsync(TestServer server, string sha256) => server.Get<ICatalogStore>().WriteAsync((db, token) =>
    {
        var old = TimeProvider.System.GetUtcNow().AddHours(-2);
        return db.CodeBlobs.Where(blob => blob.Sha256 == sha256).ExecuteUpdateAsync(set => set.SetProperty(blob => blob.CreatedAt, old), token);
    }, CancellationToken.None);
}
