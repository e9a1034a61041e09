using System.Net;
using System.Net.Sockets;
using System.Text;
using Flint.Server.Api;
using Flint.Server.Hosting;
using Flint.TestKit.Engines;
using Flint.TestKit.Time;

namespace Flint.Server.Tests.Api;

/// <summary>What bodies may take before anything else limits a request: bytes together, and time each.</summary>
public sealed class BodyLimitTests
{
    private static readonly string[] SmallBudget = ["--Flint:Http:MaxBodyBytesInFlight", "1000"];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Bodies_that_find_no_room_are_refused_and_room_comes_back_with_the_answer(bool chunked)
    {
        var release = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var entered = new TestSignal();
        await using var server = await TestServer.StartAsync(new FakeEngine { Script = _ => Waiting(entered, release.Task) }, args: SmallBudget);
        await server.DeployAsync("f");
        var first = server.InvokeAsync("f", $"\"{new string('a', 798)}\"");
        await entered.WaitAsync();

        var refused = await PostAsync(server, $"\"{new string('b', 298)}\"", chunked);
        var problem = await refused.ShouldBeProblemAsync(429, "throttled");
        problem.Text("knob").ShouldBe("Flint:Http:MaxBodyBytesInFlight");
        refused.Headers.RetryAfter.ShouldNotBeNull();
        server.Get<BodyBudget>().Used.ShouldBe(800);

        var fits = PostAsync(server, $"\"{new string('c', 98)}\"", chunked);
        await entered.WaitAsync();
        release.SetResult();
        (await fits).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await first).Text("status").ShouldBe("COMPLETED");
        await Eventually.True(() => server.Get<BodyBudget>().Used == 0, "all room is back");
    }

    [Fact]
    public async Task A_body_that_is_alone_is_taken_even_if_it_is_larger_than_the_room()
    {
        await using var server = await TestServer.StartAsync(args: SmallBudget);
        await server.DeployAsync("f");
        (await server.InvokeAsync("f", $"\"{new string('a', 5000)}\"")).Text("status").ShouldBe("COMPLETED");
        await (await server.PostAsync("/api/functions/f/invoke", "{")).ShouldBeProblemAsync(400, "invalid_payload");
        await Eventually.True(() => server.Get<BodyBudget>().Used == 0, "all room is back");
    }

    [Fact]
    public async Task Room_is_counted_rightly_under_many_threads()
    {
        var budget = new BodyBudget(new HttpOptions { MaxBodyBytesInFlight = 500 }, TimeProvider.System);
        var (most, now) = (0L, 0L);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            for (var i = 0; i < 5000; i++)
            {
                if (!budget.TryTake(100))
                {
                    continue;
                }

                var held = Interlocked.Add(ref now, 100);
                for (var seen = Interlocked.Read(ref most); held > seen; seen = Interlocked.Read(ref most))
                {
                    Interlocked.CompareExchange(ref most, held, seen);
                }

                Interlocked.Add(ref now, -100);
                budget.Give(100);
            }
        })));
        (budget.Used, most <= 500).ShouldBe((0, true));
    }

    [Fact]
    public async Task A_body_that_trickles_is_ended_when_its_time_is_over()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Http:BodyTimeoutMs", "1000"]);
        await server.DeployAsync("f");
        var answer = await TrickleAsync(server, "POST /api/functions/f/invoke", "application/json");
        answer.ShouldStartWith("HTTP/1.1 408 ");
        answer.ShouldContain("Flint:Http:BodyTimeoutMs");
        server.Get<BodyBudget>().Used.ShouldBe(0);
    }

    [Fact]
    public async Task Slow_uploads_do_not_hold_the_places_of_others_for_long()
    {
        await using var server = await TestServer.StartAsync(args: ["--Flint:Http:BodyTimeoutMs", "1500"]);
        await server.DeployAsync("f");
        var slow = Enumerable.Range(0, 4).Select(_ => TrickleAsync(server, "PUT /api/functions/f/code", "application/zip")).ToArray();
        await Eventually.True(() => server.Get<BodyBudget>().Used > 4 * 1024 * 1024, "all places are taken");
        var good = server.SendAsync(HttpMethod.Put, "/api/functions/f/code", $$"""{"inline":"{{new string('#', 2 * 1024 * 1024)}}"}""");
        (await good.WaitAsync(TimeSpan.FromSeconds(30))).StatusCode.ShouldBe(HttpStatusCode.OK);
        (await Task.WhenAll(slow)).ShouldAllBe(answer => answer.StartsWith("HTTP/1.1 408 ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(null, false)]
    [InlineData("*/*", false)]
    [InlineData("application/json", false)]
    [InlineData("application/json; charset=utf-8", false)]
    [InlineData("text/html, */*;q=0.8", false)]
    [InlineData("text/html", false)]
    [InlineData("nonsense;;", false)]
    [InlineData("application/octet-stream", true)]
    [InlineData("Application/Octet-Stream; q=0.9", true)]
    [InlineData("application/octet-stream, */*", true)]
    [InlineData("application/octet-stream;q=0.5, */*", false)]
    [InlineData("application/octet-stream, application/json", false)]
    [InlineData("application/octet-stream, application/json;q=0.5", true)]
    [InlineData("application/json, application/octet-stream;q=0.5", false)]
    [InlineData("application/octet-stream;q=0", false)]
    public void The_result_alone_is_for_who_asks_for_bytes(string? accept, bool bytes) =>
        InvokeEndpoint.WantsBytes(accept is null ? default : new(accept)).ShouldBe(bytes);

    [Theory]
    [InlineData("*/*", "application/json")]
    [InlineData("application/json;q=1", "application/json")]
    [InlineData("application/octet-stream;q=1", "application/octet-stream")]
    public async Task An_answer_has_the_form_that_was_asked_for(string accept, string type)
    {
        await using var server = await TestServer.StartAsync();
        await server.DeployAsync("f");
        using var answer = await server.SendAsync(HttpMethod.Post, "/api/functions/f/invoke", "[1]", ("Accept", accept));
        answer.Content.Headers.ContentType!.MediaType.ShouldBe(type);
    }

    private static FakeScript Waiting(TestSignal entered, Task release) => new()
    {
        OnEvent = async e =>
        {
            entered.Set();
            await release;
            return new FakeAnswer.Result(e.Payload);
        },
    };

    private static Task<HttpResponseMessage> PostAsync(TestServer server, string body, bool chunked)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, "/api/functions/f/invoke") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        request.Headers.TransferEncodingChunked = chunked;
        return server.Http.SendAsync(request);
    }

    /// <summary>Declares two megabytes and sends a byte at a time.</summary>
    private static async Task<string> TrickleAsync(TestServer server, string requestLine, string type)
    {
        using var socket = new TcpClient();
        await socket.ConnectAsync(IPAddress.Loopback, server.Address.Port);
        var stream = socket.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes($"{requestLine} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type}\r\nContent-Length: 2097152\r\n\r\n[1"));
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var answer = new byte[4096];
        var reading = stream.ReadAsync(answer, patience.Token).AsTask();
        while (await Task.WhenAny(reading, Task.Delay(50, patience.Token)) != reading)
        {
            await stream.WriteAsync(" "u8.ToArray(), patience.Token);
        }

        return Encoding.ASCII.GetString(answer, 0, await reading);
    }
}
