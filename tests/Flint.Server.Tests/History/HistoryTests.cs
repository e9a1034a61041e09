using System.Net;
using System.Text.RegularExpressions;
using Flint.Data.Invocations;
using Flint.Server.Services;
using Flint.Server.Tests.Support;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.History;

public sealed partial class HistoryTests
{
    [Fact]
    public async Task Strict_history_is_committed_before_the_answer_and_buffered_is_not()
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var writing = new TestSignal();
        HookedInvocations? store = null;
        await using var server = await TestServer.StartAsync(
            services: services => services.Decorate<IInvocationStore>(inner => store = new HookedInvocations(inner)));
        await server.DeployAsync("buffered");
        await server.DeployAsync("strict", ""","history":"strict" """);
        server.Get<IInvocationStore>();
        store!.BeforeAppend = () =>
        {
            writing.Set();
            return release.Task;
        };

        string id;
        try
        {
            (await server.InvokeAsync("buffered")).Text("status").ShouldBe("COMPLETED");
            var strict = server.InvokeAsync("strict");
            await writing.WaitAsync();
            await Eventually.True(() => server.Get<InvocationJournal>().State.Rows == 2, "both rows are in the journal");
            strict.IsCompleted.ShouldBeFalse();
            release.SetResult();
            id = (await strict).Text("id")!;
        }
        finally
        {
            // The server cannot stop while its store is held.
            release.TrySetResult();
        }

        (await store.GetAsync("default", id, CancellationToken.None)).ShouldNotBeNull();
    }

    [Theory]
    [InlineData("None", false, false)]
    [InlineData("Failed", false, true)]
    [InlineData("All", true, true)]
    public async Task Events_are_kept_as_configured(string mode, bool ofCompleted, bool ofFailed)
    {
        var engine = new FakeEngine { Script = spec => spec.MemoryMb == 256 ? FakeScript.Answering(new FakeAnswer.Error("Unhandled", "E", "m")) : new FakeScript() };
        await using var server = await TestServer.StartAsync(engine, args: ["--Flint:History:PayloadMode", mode, "--Flint:History:MaxPayloadBytes", "10"]);
        await server.DeployAsync("good");
        await server.DeployAsync("bad", ""","memoryMb":256""");
        (await KeptAsync("good", "\"12345678\"")).ShouldBe(ofCompleted);
        (await KeptAsync("bad", "\"12345678\"")).ShouldBe(ofFailed);
        (await KeptAsync("good", "\"123456789\"")).ShouldBeFalse();
        (await KeptAsync("bad", "\"123456789\"")).ShouldBeFalse();

        async Task<bool> KeptAsync(string name, string payload)
        {
            var id = (await server.InvokeAsync(name, payload)).Text("id");
            var record = await (await server.GetAsync($"/api/invocations/{id}")).ReadAsync();
            if (record.Has("event"))
            {
                record.GetProperty("event").GetRawText().ShouldBe(payload);
            }

            return record.Has("event");
        }
    }

    [Fact]
    public async Task Retention_removes_by_count()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:History:MaxCount", "2"]);
        await server.DeployAsync("f", ""","history":"strict" """);
        var ids = new List<string?>();
        for (var i = 0; i < 5; i++)
        {
            ids.Insert(0, (await server.InvokeAsync("f")).Text("id"));
        }

        await server.Get<HistoryPruner>().RunOnceAsync(CancellationToken.None);
        (await IdsAsync(server)).ShouldBe(ids.Take(2));
        await (await server.GetAsync($"/api/invocations/{ids[4]}")).ShouldBeProblemAsync(404, "invocation_not_found");
    }

    [Fact]
    public async Task Retention_removes_by_age_page_by_page()
    {
        var time = new ShiftedTime();
        await using var server = await TestServer.StartAsync(time: time, args: ["--Flint:History:MaxAgeDays", "2"]);
        await server.DeployAsync("f", ""","history":"strict" """);
        var old = (await server.InvokeAsync("f")).Text("id")!;
        var store = server.Get<IInvocationStore>();
        var row = (await store.GetAsync("default", old, CancellationToken.None))!;
        await store.AppendAsync([.. Enumerable.Range(0, 1200).Select(_ => row with { Id = Guid.CreateVersion7(row.CreatedAt).ToString("d") })], CancellationToken.None);

        time.Advance(TimeSpan.FromHours(47));
        await server.Get<HistoryPruner>().RunOnceAsync(CancellationToken.None);
        (await server.GetAsync($"/api/invocations/{old}")).StatusCode.ShouldBe(HttpStatusCode.OK);
        var young = (await server.InvokeAsync("f")).Text("id");
        time.Advance(TimeSpan.FromHours(2));
        await server.Get<HistoryPruner>().RunOnceAsync(CancellationToken.None);
        (await IdsAsync(server)).ShouldBe([young]);
    }

    [Fact]
    public async Task Readiness_shows_how_far_history_is_behind()
    {
        HookedInvocations? store = null;
        await using var server = await TestServer.StartAsync(
            services: services => services.Decorate<IInvocationStore>(inner => store = new HookedInvocations(inner)));
        await server.DeployAsync("f");
        (await CheckAsync()).Status.ShouldBe("ok");
        store!.BeforeAppend = () => throw new IOException("the disk is gone");
        await server.InvokeAsync("f");
        await Eventually.True(() => server.Get<InvocationJournal>().State.LastError is not null, "a write failed");
        var (status, detail) = await CheckAsync();
        status.ShouldBe("degraded");
        detail.ShouldContain("1 records not written");
        detail.ShouldContain("the disk is gone");

        store.BeforeAppend = () => Task.CompletedTask;
        await Eventually.True(() => server.Get<InvocationJournal>().State.Rows == 0, "the row is written");
        (await CheckAsync()).ShouldBe(("ok", "0 records not written yet, the oldest for 0 ms"));

        async Task<(string Status, string Detail)> CheckAsync()
        {
            var view = await (await server.GetAsync("/health/ready")).ReadAsync();
            var check = view.GetProperty("checks").EnumerateArray().Single(check => check.Text("name") == "history");
            return (check.Text("status")!, check.Text("detail")!);
        }
    }

    [Fact]
    public async Task Times_have_one_form_everywhere()
    {
        var engine = new FakeEngine
        {
            Script = _ => new FakeScript
            {
                OnEvent = async e =>
                {
                    await e.LogAsync("x");
                    return FakeAnswer.Json("1");
                },
            },
        };
        await using var server = await TestServer.StartAsync(engine);
        var times = new List<(string Member, string Value)>();
        Collect(await server.DeployAsync("f"));
        Collect(await (await server.PostAsync("/api/functions/f/versions", "{}")).ReadAsync(HttpStatusCode.Created));
        Collect(await (await server.PostAsync("/api/functions/f/aliases", """{"name":"live","version":1}""")).ReadAsync(HttpStatusCode.Created));
        var record = await server.InvokeAsync("f", "{}", "?logs=true");
        Collect(record);
        foreach (var path in (string[])["/api/functions", "/api/functions/f/versions", "/api/functions/f/aliases", "/api/invocations", $"/api/invocations/{record.Text("id")}"])
        {
            Collect(await (await server.GetAsync(path)).ReadAsync());
        }

        times.Select(time => time.Member).Distinct().ShouldBe(["createdAt", "updatedAt", "startedAt", "completedAt", "time"], ignoreOrder: true);
        times.ShouldAllBe(time => Form().IsMatch(time.Value));

        void Collect(System.Text.Json.JsonElement json)
        {
            if (json.ValueKind == System.Text.Json.JsonValueKind.Object)
            {
                foreach (var member in json.EnumerateObject())
                {
                    if (member.Name is "time" || member.Name.EndsWith("At", StringComparison.Ordinal))
                    {
                        times.Add((member.Name, member.Value.GetString()!));
                    }

                    Collect(member.Value);
                }
            }
            else if (json.ValueKind == System.Text.Json.JsonValueKind.Array)
            {
                json.EnumerateArray().ToList().ForEach(Collect);
            }
        }
    }

    [GeneratedRegex(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z")]
    private static partial Regex Form();

    private static async Task<string?[]> IdsAsync(TestServer server) =>
        [.. (await (await server.GetAsync("/api/invocations?limit=1000")).ReadAsync()).GetProperty("items").EnumerateArray().Select(item => item.Text("id"))];
}
