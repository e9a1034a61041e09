using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;
using Flint.Server.Queue;
using Flint.Server.Queue.Destinations;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Primitives;

namespace Flint.Server.Tests.Queue;

/// <summary>Deliveries to a real HTTP server on the loopback, which is opened for it as an operator would.</summary>
public sealed class WebhookDeliveryTests : IAsyncLifetime
{
    private static readonly byte[] Record = """{"version":"1.0","requestPayload":"ä"}"""u8.ToArray();

    private readonly List<(IHeaderDictionary Headers, string Path, byte[] Body)> _received = [];
    private Func<HttpContext, Task> _answer = _ => Task.CompletedTask;
    private WebApplication _receiver = null!;
    private Uri _address = null!;

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        _receiver = builder.Build();
        _receiver.Run(async http =>
        {
            var body = new MemoryStream();
            await http.Request.Body.CopyToAsync(body);
            lock (_received)
            {
                // A copy: the server uses its own for the next request.
                _received.Add((new HeaderDictionary(new Dictionary<string, StringValues>(http.Request.Headers)), http.Request.Path, body.ToArray()));
            }

            await _answer(http);
        });
        await _receiver.StartAsync();
        _address = new Uri(_receiver.Urls.Single());
    }

    public async ValueTask DisposeAsync() => await _receiver.DisposeAsync();

    [Fact]
    public async Task A_delivery_is_signed_and_says_what_it_is()
    {
        var outcome = await DeliverAsync(new DeliveryWork(new Uri(_address, "/hook?a=1").ToString(), "s3cret", "cause", "invocation.failed"));

        outcome.Status.ShouldBe(InvocationStatus.Completed, outcome.Error?.Message);
        Encoding.UTF8.GetString(outcome.Result.Span).ShouldBe("""{"status":200}""");
        var (headers, path, body) = _received.ShouldHaveSingleItem();
        (path, body).ShouldBe(("/hook", body));
        body.ShouldBe(Record);
        headers.ContentType.ToString().ShouldBe("application/json");
        headers["Flint-Delivery-Id"].ToString().ShouldBe("the-delivery");
        headers["Flint-Event"].ToString().ShouldBe("invocation.failed");
        var parts = headers["Flint-Signature"].ToString().Split(',');
        var signed = Encoding.UTF8.GetBytes(parts[0]["t=".Length..] + ".").Concat(body).ToArray();
        parts[1].ShouldBe("v1=" + Convert.ToHexStringLower(HMACSHA256.HashData("s3cret"u8, signed)));
        headers.ContainsKey("traceparent").ShouldBeFalse();
    }

    [Fact]
    public async Task Without_a_secret_nothing_is_signed()
    {
        (await DeliverAsync(new DeliveryWork(_address.ToString(), null, "cause"))).Status.ShouldBe(InvocationStatus.Completed);
        _received[0].Headers.ContainsKey("Flint-Signature").ShouldBeFalse();
    }

    [Theory]
    [InlineData(199 + 1, true)]
    [InlineData(204, true)]
    [InlineData(302, false)]
    [InlineData(400, false)]
    [InlineData(410, false)]
    [InlineData(503, false)]
    public async Task Only_2xx_is_taken_and_redirects_are_not_followed(int status, bool taken)
    {
        _answer = http =>
        {
            http.Response.StatusCode = status;
            http.Response.Headers.Location = "/elsewhere";
            return status == 204 ? Task.CompletedTask : http.Response.WriteAsync("why\u001b[31m\nnot");
        };
        var outcome = await DeliverAsync(new DeliveryWork(_address.ToString(), null, "cause"));

        outcome.Status.ShouldBe(taken ? InvocationStatus.Completed : InvocationStatus.Failed);
        _received.ShouldHaveSingleItem();
        if (!taken)
        {
            outcome.Error!.Type.ShouldBe(FaultType.DeliveryFailed);
            outcome.Error.Message.ShouldBe($"The webhook answered {status}: why [31m not");
            FaultTypes.Owner(outcome.Error.Type).ShouldBe(FaultOwner.Function);
        }
    }

    [Fact]
    public async Task An_answer_without_end_is_read_no_further_than_is_shown()
    {
        _answer = async http =>
        {
            http.Response.StatusCode = 500;
            for (var chunk = new byte[64 * 1024]; !http.RequestAborted.IsCancellationRequested;)
            {
                chunk.AsSpan().Fill((byte)'x');
                await http.Response.Body.WriteAsync(chunk, http.RequestAborted);
            }
        };
        var outcome = await DeliverAsync(new DeliveryWork(_address.ToString(), null, "cause"));
        outcome.Error!.Message.Length.ShouldBeLessThan(1100);
    }

    [Fact]
    public async Task A_webhook_that_does_not_answer_is_given_up_after_the_timeout()
    {
        var never = new TaskCompletionSource();
        _answer = _ => never.Task;
        var outcome = await DeliverAsync(new DeliveryWork(_address.ToString(), null, "cause"), timeoutMs: 200);
        never.SetResult();
        outcome.Error!.Message.ShouldContain("within 200 ms");
    }

    [Fact]
    public async Task An_aborted_delivery_ends_at_once()
    {
        var (came, never) = (new TaskCompletionSource(), new TaskCompletionSource());
        _answer = _ =>
        {
            came.SetResult();
            return never.Task;
        };
        using var abort = new CancellationTokenSource();
        var delivery = DeliverAsync(new DeliveryWork(_address.ToString(), null, "cause"), aborting: abort.Token);
        await came.Task;
        await abort.CancelAsync();
        await Should.ThrowAsync<OperationCanceledException>(() => delivery);
        never.SetResult();
    }

    [Fact]
    public async Task A_closed_port_and_an_unknown_name_are_failures_that_may_pass()
    {
        using var listener = new Socket(SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var closed = $"http://127.0.0.1:{((IPEndPoint)listener.LocalEndPoint!).Port}/";
        (await DeliverAsync(new DeliveryWork(closed, null, "cause"))).Error!.Type.ShouldBe(FaultType.DeliveryFailed);
        (await DeliverAsync(new DeliveryWork("http://nowhere.invalid/", null, "cause"), resolve: _ => throw new SocketException((int)SocketError.HostNotFound))).Error!.Type
            .ShouldBe(FaultType.DeliveryFailed);
    }

    [Theory]
    [InlineData("http://127.0.0.1:{port}/")]
    [InlineData("http://localhost:{port}/")]
    [InlineData("http://[::1]:{port}/")]
    [InlineData("http://[::ffff:127.0.0.1]:{port}/")]
    [InlineData("http://0x7f.1:{port}/")]
    [InlineData("http://2130706433:{port}/")]
    [InlineData("http://0:{port}/")]
    [InlineData("http://169.254.169.254/latest/meta-data")]
    [InlineData("http://10.255.255.1/")]
    public async Task Private_addresses_are_not_connected_to(string url)
    {
        var outcome = await DeliverAsync(new DeliveryWork(url.Replace("{port}", $"{_address.Port}", StringComparison.Ordinal), null, "cause"), allow: []);
        outcome.Error!.Type.ShouldBe(FaultType.DestinationRefused, outcome.Error.Message);
        outcome.Error.Message.ShouldContain("Flint:Webhooks:AllowPrivate");
        FaultTypes.Owner(outcome.Error.Type).ShouldBe(FaultOwner.Caller);
        _received.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_name_that_leads_to_a_private_address_is_refused_and_the_address_that_was_checked_is_the_one_connected_to()
    {
        var url = $"http://rebound.example:{_address.Port}/";
        (await DeliverAsync(new DeliveryWork(url, null, "cause"), allow: [], resolve: _ => [IPAddress.Loopback])).Error!.Type.ShouldBe(FaultType.DestinationRefused);

        // Public when it is asked first, private ever after: only the first answer counts, since there is no second question.
        var asked = 0;
        var outcome = await DeliverAsync(new DeliveryWork(url, null, "cause"), allow: ["127.0.0.1"], resolve: _ => asked++ == 0 ? [IPAddress.Loopback] : throw new InvalidOperationException("asked twice"));
        (outcome.Status, asked).ShouldBe((InvocationStatus.Completed, 1));

    }

    [Fact]
    public async Task Of_several_addresses_only_those_that_are_open_are_tried()
    {
        using var closed = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        closed.Bind(new IPEndPoint(IPAddress.Parse("127.0.0.2"), _address.Port));
        closed.Listen();
        var outcome = await DeliverAsync(
            new DeliveryWork($"http://several.example:{_address.Port}/", null, "cause"), timeoutMs: 5000, resolve: _ => [IPAddress.Parse("127.0.0.2"), IPAddress.Loopback]);
        outcome.Status.ShouldBe(InvocationStatus.Completed, outcome.Error?.Message);
        closed.Poll(0, SelectMode.SelectRead).ShouldBeFalse("Somebody came to an address that is closed.");
    }

    private static async Task<InvocationOutcome> DeliverAsync(
        DeliveryWork work, string[]? allow = null, int timeoutMs = 20_000, Func<string, IPAddress[]>? resolve = null, CancellationToken aborting = default)
    {
        var options = new WebhookOptions { AllowPrivate = allow ?? ["127.0.0.1"], TimeoutMs = timeoutMs };
        var addresses = resolve is null ? new WebhookAddresses(options) : new WebhookAddresses(options) { Resolve = (host, _) => Task.FromResult(resolve(host)) };
        using var delivery = new WebhookDelivery(addresses, options, TimeProvider.System);
        var item = new ClaimedItem
        {
            TenantId = "default",
            Id = "the-delivery",
            LeaseNo = 1,
            Attempt = 1,
            Losses = 0,
            Lane = "host:x",
            Priority = 0,
            Mode = "delivery",
            CreatedAt = DateTimeOffset.UnixEpoch,
            ClaimedAt = DateTimeOffset.UnixEpoch,
            Expired = false,
            WorkJson = "{}",
            Payload = Record,
        };
        return await delivery.DeliverAsync(item, work, aborting);
    }
}
