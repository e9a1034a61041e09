using System.Net;
using Flint.Data.Blobs;
using Flint.Server.Services;
using Flint.Server.Tests.Support;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Packages;

/// <summary>Code from the store to the disk, and away again.</summary>
public sealed class CodeLifeTests
{
    [Fact]
    public async Task A_package_is_read_once_however_many_want_it()
    {
        var entered = new TestSignal();
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        HookedBlobs? blobs = null;
        await using var server = await TestServer.StartAsync(services: services => services.Decorate<IBlobStore>(inner => blobs = new HookedBlobs(inner)));
        for (var i = 0; i < 8; i++)
        {
            await server.DeployAsync($"f{i}");
        }

        blobs!.BeforeOpen = () =>
        {
            entered.Set();
            return release.Task;
        };
        var calls = Enumerable.Range(0, 16).Select(i => server.InvokeAsync($"f{i % 8}")).ToArray();
        await entered.WaitAsync();
        release.SetResult();
        (await Task.WhenAll(calls)).ShouldAllBe(record => record.Text("status") == "COMPLETED");
        blobs.Opens.ShouldBe(1);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Code_that_cannot_be_had_is_the_servers_fault_until_it_is_back(bool damaged)
    {
        HookedBlobs? blobs = null;
        await using var server = await TestServer.StartAsync(services: services => services.Decorate<IBlobStore>(inner => blobs = new HookedBlobs(inner)));
        await server.DeployAsync("f");
        blobs!.Opened = stream =>
        {
            stream!.Dispose();
            return damaged ? new MemoryStream("PK not what was stored"u8.ToArray()) : null;
        };
        for (var i = 0; i < 2; i++)
        {
            var refused = await server.PostAsync("/api/functions/f/invoke", "{}");
            var problem = await refused.ShouldBeProblemAsync(503, "code_unavailable");
            problem.Text("correlationId").ShouldNotBeNullOrEmpty();
            problem.GetRawText().ShouldNotContain(server.DataPath);
            refused.Headers.RetryAfter.ShouldNotBeNull();
        }

        if (!damaged)
        {
            await (await server.GetAsync("/api/functions/f/code")).ShouldBeProblemAsync(503, "code_unavailable");
        }

        server.Engine.Created.ShouldBe(0);
        blobs.Opened = stream => stream;
        (await server.InvokeAsync("f")).Text("status").ShouldBe("COMPLETED");
    }

    [Fact]
    public async Task Unused_code_goes_and_code_in_use_or_just_asked_for_stays()
    {
        var time = new ShiftedTime();
        await using var server = await TestServer.StartAsync(time: time);
        var used = (await server.DeployAsync("used", code: "used = 1")).Text("codeSha256")!;
        var dropped = (await server.DeployAsync("changed", code: "old = 1")).Text("codeSha256")!;
        await server.InvokeAsync("used");
        await server.InvokeAsync("changed");
        var replaced = await server.SendAsync(HttpMethod.Put, "/api/functions/changed/code", """{"inline":"new = 1"}""");
        var current = (await replaced.ReadAsync()).Text("codeSha256")!;
        await server.InvokeAsync("changed");

        var pruner = server.Get<CodePruner>();
        await pruner.RunOnceAsync(CancellationToken.None);
        Unpacked().ShouldBe([used, dropped, current], ignoreOrder: true);
        Stored().ShouldBe([used, dropped, current], ignoreOrder: true);

        time.Advance(TimeSpan.FromMinutes(59));
        await pruner.RunOnceAsync(CancellationToken.None);
        var late = (await server.DeployAsync("late", code: "late = 1")).Text("codeSha256")!;
        await server.InvokeAsync("late");
        (await server.SendAsync(HttpMethod.Delete, "/api/functions/late")).StatusCode.ShouldBe(HttpStatusCode.NoContent);
        await Eventually.True(() => server.Engine.Sandboxes.Where(s => s.Spec.CodeDirectory.EndsWith(dropped, StringComparison.Ordinal)).All(s => s.Destroyed), "the old code's sandbox is gone");
        time.Advance(TimeSpan.FromMinutes(2));
        await pruner.RunOnceAsync(CancellationToken.None);
        Unpacked().ShouldBe([used, current, late], ignoreOrder: true);
        Stored().ShouldBe([used, current, late], ignoreOrder: true);

        (await server.InvokeAsync("used")).Text("status").ShouldBe("COMPLETED");
        (await server.DeployAsync("again", code: "old = 1")).Text("codeSha256").ShouldBe(dropped);
        (await server.InvokeAsync("again")).Text("status").ShouldBe("COMPLETED");

        string[] Unpacked() => [.. Directory.GetDirectories(Path.Combine(server.DataPath, "code")).Select(path => Path.GetFileName(path)!)
            .Where(name => name[0] != '.').Select(name => name[(name.LastIndexOf('-') + 1)..])];

        string[] Stored() => [.. Directory.GetFiles(Path.Combine(server.DataPath, "blobs"), "*", SearchOption.AllDirectories).Select(path => Path.GetFileName(path)!)];
    }

    [Fact]
    public async Task Code_of_a_published_version_is_not_forgotten()
    {
        var time = new ShiftedTime();
        await using var server = await TestServer.StartAsync(time: time);
        await server.DeployAsync("f", code: "first = 1");
        (await server.PostAsync("/api/functions/f/versions", "{}")).StatusCode.ShouldBe(HttpStatusCode.Created);
        (await server.SendAsync(HttpMethod.Put, "/api/functions/f/code", """{"inline":"second = 1"}""")).StatusCode.ShouldBe(HttpStatusCode.OK);
        time.Advance(TimeSpan.FromHours(3));
        await server.Get<CodePruner>().RunOnceAsync(CancellationToken.None);
        (await server.InvokeAsync("f", "{}", "?qualifier=1")).Text("status").ShouldBe("COMPLETED");
        (await server.GetAsync("/api/functions/f/code?qualifier=1")).StatusCode.ShouldBe(HttpStatusCode.OK);
    }
}
