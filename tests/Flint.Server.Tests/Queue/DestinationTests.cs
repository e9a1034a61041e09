using System.Text.Json;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue;
using Flint.Server.Queue.Destinations;
using Flint.Server.Queue.Functions;

namespace Flint.Server.Tests.Queue;

public sealed class DestinationTests
{
    private static readonly DateTimeOffset Now = new(2026, 3, 1, 12, 0, 0, TimeSpan.Zero);
    private static readonly RetryRules Rules = new() { Retries = 2, MaxAgeMs = 60_000 };
    private static readonly string Id = Guid.CreateVersion7(Now).ToString("d");

    [Fact]
    public void The_record_is_aws_lambdas()
    {
        var record = Parse(DestinationRecord.Write(Completed(), Item("""{"a":[1]}"""), Rules, Now, 1_000_000));
        record.GetRawText().ShouldBe($$$"""
            {"version":"1.0","timestamp":"2026-03-01T12:00:00.000Z","requestContext":{"requestId":"{{{Id}}}","functionArn":"arn:flint:lambda:local:default:function:f:live","condition":"Success","approximateInvokeCount":1},"requestPayload":{"a":[1]},"responseContext":{"statusCode":200,"executedVersion":"3"},"responsePayload":{"ok":true}}
            """);
    }

    [Theory]
    [InlineData("Unhandled", 3, "RetriesExhausted")]
    [InlineData("Unhandled", 2, "EventAgeExceeded")]
    [InlineData("Throttled", 1, "EventAgeExceeded")]
    [InlineData("Expired", 1, "EventAgeExceeded")]
    [InlineData("EngineUnavailable", 1, "EventAgeExceeded")]
    [InlineData("InvalidPayload", 1, "RetriesExhausted")]
    public void A_failure_tells_what_was_used_up_and_the_error_in_lambdas_form(string type, int attempt, string condition)
    {
        var record = Parse(DestinationRecord.Write(Failed(type), Item("1", attempt: attempt), Rules, Now, 1_000_000));
        record.GetProperty("requestContext").Text("condition").ShouldBe(condition);
        record.GetProperty("requestContext").GetProperty("approximateInvokeCount").GetInt32().ShouldBe(attempt);
        record.GetProperty("responseContext").Text("functionError").ShouldBe("Unhandled");
        record.GetProperty("responsePayload").GetRawText().ShouldBe("""{"errorMessage":"'a'","errorType":"KeyError","stackTrace":["x"]}""");
    }

    [Fact]
    public void A_record_that_is_too_large_loses_the_response_and_then_the_request()
    {
        var (large, small) = ($"\"{new string('x', 3000)}\"", "1");
        var kept = Parse(DestinationRecord.Write(Completed(large), Item(small), Rules, Now, 2000));
        (kept.GetProperty("requestPayload").GetRawText(), kept.GetProperty("responsePayload").GetRawText()).ShouldBe((small, "null"));
        kept = Parse(DestinationRecord.Write(Completed(small), Item(large), Rules, Now, 2000));
        (kept.GetProperty("requestPayload").GetRawText(), kept.GetProperty("responsePayload").GetRawText()).ShouldBe(("null", "null"));
    }

    [Fact]
    public void Only_what_ended_by_itself_leads_somewhere()
    {
        var work = AsyncRules.Default.Work(new FunctionWork("f", null), 0) with { OnSuccess = new Destination { Function = "g" } };
        DestinationPlanner.Of(work, "COMPLETED")!.Function.ShouldBe("g");
        DestinationPlanner.Of(work, "FAILED")!.DeadLetterList.ShouldBe("default");
        DestinationPlanner.Of(work, "CANCELLED").ShouldBeNull();
    }

    [Fact]
    public void A_webhook_becomes_a_delivery_in_its_hosts_lane()
    {
        var entry = DestinationPlanner.Deliver(
            new Destination { Webhook = "https://Hooks.Example:8443/a?b", Secret = "s" }, "FAILED", Item("1"), "{}"u8.ToArray(), new WebhookOptions { MaxPerHost = 3, MaxAgeMs = 5000 }, Id, Now);

        (entry.Lane, entry.Limits, entry.Row.Mode, entry.Row.Status).ShouldBe(("host:hooks.example", new LaneLimits(3, null), "delivery", "PENDING"));
        entry.Tags.ShouldBe(["cause:" + Id]);
        var work = QueuedWork.Parse(entry.WorkJson);
        work.Delivery.ShouldBe(new DeliveryWork("https://Hooks.Example:8443/a?b", "s", Id, "invocation.failed"));
        (work.Retry.MaxAgeMs, work.OnFailure, work.OnSuccess).ShouldBe((5000L, null, null));
    }

    [Fact]
    public void A_chain_of_functions_grows_by_one_and_ends_beyond_the_greatest_depth()
    {
        var next = QueuedWork.Parse(Invoke(depth: 0).WorkJson);
        (next.Function, next.Depth).ShouldBe((new FunctionWork("g", "live"), 1));
        next.OnFailure!.DeadLetterList.ShouldBe("default");

        QueuedWork.Parse(Invoke(QueuedWork.MaxDepth - 1).WorkJson).OnFailure.ShouldNotBeNull();
        var last = QueuedWork.Parse(Invoke(QueuedWork.MaxDepth).WorkJson);
        (last.Depth, last.OnFailure, last.OnSuccess).ShouldBe((QueuedWork.MaxDepth + 1, null, null));
    }

    [Fact]
    public void Rules_are_read_as_they_were_written_and_the_absent_ones_are_the_default()
    {
        var rules = new AsyncRules
        {
            Retry = new RetryRules { Retries = 5, MaxAgeMs = 1000, Backoff = "fixed", DelayMs = 7, MaxDelayMs = 8, Jitter = true },
            OnSuccess = new Destination { Webhook = "https://a.example/", Secret = "s" },
            OnFailure = null,
        };
        AsyncRules.Parse(rules.ToJson()).ShouldBe(rules);
        AsyncRules.Parse("{}").ShouldBe(new AsyncRules());
        AsyncRules.Parse("""{"onSuccess":{"function":"g"}}""").ShouldBe(new AsyncRules { OnSuccess = new Destination { Function = "g" } });
    }

    private static QueueEntry Invoke(int depth) => DestinationPlanner.Invoke(new FunctionWork("g", "live"), null, Item("1"), depth, "{}"u8.ToArray(), Id, Now);

    private static JsonElement Parse(byte[] json) => JsonDocument.Parse(json).RootElement;

    private static InvocationRow Completed(string result = """{"ok":true}""") => Row("COMPLETED") with { Result = System.Text.Encoding.UTF8.GetBytes(result) };

    private static InvocationRow Failed(string type) => Row("FAILED") with
    {
        ErrorType = type,
        ErrorJson = $$"""{"type":"{{type}}","name":"KeyError","message":"'a'","stackTrace":["x"]}""",
    };

    private static InvocationRow Row(string status) => new()
    {
        TenantId = "default",
        Id = Id,
        FunctionId = "1",
        FunctionName = "f",
        Version = "3",
        Mode = "async",
        Status = status,
        CreatedAt = Now,
    };

    private static ClaimedItem Item(string payload, int attempt = 1) => new()
    {
        TenantId = "default",
        Id = Id,
        LeaseNo = 1,
        Attempt = attempt,
        Losses = 0,
        Lane = "function:1",
        Priority = 0,
        Mode = "async",
        FunctionId = "1",
        FunctionName = "f",
        Version = "3",
        Qualifier = "live",
        CreatedAt = Now,
        ClaimedAt = Now,
        Expired = false,
        WorkJson = "{}",
        Payload = System.Text.Encoding.UTF8.GetBytes(payload),
    };
}
