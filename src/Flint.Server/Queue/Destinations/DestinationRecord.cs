using System.Buffers;
using System.Text.Json;
using Flint.Contracts;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;

namespace Flint.Server.Queue.Destinations;

/// <summary>What destinations get: AWS Lambda's record of an asynchronous invocation's end.</summary>
internal static class DestinationRecord
{
    /// <param name="finished">How it ended.</param>
    /// <param name="item">What was run.</param>
    /// <param name="rules">Tell whether its attempts or its age were used up.</param>
    /// <param name="now">The record's own time.</param>
    /// <param name="most">In bytes; beyond it the response's payload is left out, and then the request's.</param>
    public static byte[] Write(InvocationRow finished, ClaimedItem item, RetryRules rules, DateTimeOffset now, int most)
    {
        var request = item.Payload ?? ReadOnlyMemory<byte>.Empty;
        var response = finished.ErrorJson is { } error ? ErrorPayload(error) : finished.Result ?? ReadOnlyMemory<byte>.Empty;
        var whole = Write(finished, item, rules, now, request, response);
        if (whole.Length > most)
        {
            whole = Write(finished, item, rules, now, request, ReadOnlyMemory<byte>.Empty);
        }

        return whole.Length <= most ? whole : Write(finished, item, rules, now, ReadOnlyMemory<byte>.Empty, ReadOnlyMemory<byte>.Empty);
    }

    private static byte[] Write(InvocationRow finished, ClaimedItem item, RetryRules rules, DateTimeOffset now, ReadOnlyMemory<byte> request, ReadOnlyMemory<byte> response)
    {
        var bytes = new ArrayBufferWriter<byte>(512 + request.Length + response.Length);
        using var json = new Utf8JsonWriter(bytes);
        json.WriteStartObject();
        json.WriteString("version"u8, "1.0"u8);
        json.WritePropertyName("timestamp"u8);
        Timestamp.Write(json, now);
        json.WriteStartObject("requestContext"u8);
        json.WriteString("requestId"u8, item.Id);
        json.WriteString("functionArn"u8, $"{FunctionArn.Of(item.TenantId, item.FunctionName)}:{item.Qualifier ?? Services.Names.Latest}");
        json.WriteString("condition"u8, Condition(finished, item, rules));
        json.WriteNumber("approximateInvokeCount"u8, item.Attempt);
        json.WriteEndObject();
        WritePayload(json, "requestPayload"u8, request);
        json.WriteStartObject("responseContext"u8);
        json.WriteNumber("statusCode"u8, 200);
        json.WriteString("executedVersion"u8, finished.Version);
        if (finished.ErrorType is not null)
        {
            json.WriteString("functionError"u8, "Unhandled"u8);
        }

        json.WriteEndObject();
        WritePayload(json, "responsePayload"u8, response);
        json.WriteEndObject();
        json.Flush();
        return bytes.WrittenSpan.ToArray();
    }

    private static string Condition(InvocationRow finished, ClaimedItem item, RetryRules rules)
    {
        if (finished.Status == "COMPLETED")
        {
            return "Success";
        }

        // What would have been tried again had become too old for it; what only the caller can mend was not worth a try.
        var usedUp = item.Attempt > rules.Retries
            || (Enum.TryParse<FaultType>(finished.ErrorType, out var fault) && fault.Owner() == FaultOwner.Caller && fault is not (FaultType.Throttled or FaultType.Expired));
        return usedUp ? "RetriesExhausted" : "EventAgeExceeded";
    }

    private static void WritePayload(Utf8JsonWriter json, ReadOnlySpan<byte> name, ReadOnlyMemory<byte> payload)
    {
        json.WritePropertyName(name);
        if (payload.IsEmpty)
        {
            json.WriteNullValue();
        }
        else
        {
            json.WriteRawValue(payload.Span, skipInputValidation: true);
        }
    }

    /// <summary>AWS Lambda's form of an error.</summary>
    private static byte[] ErrorPayload(string error)
    {
        var bytes = new ArrayBufferWriter<byte>(error.Length + 64);
        using var document = JsonDocument.Parse(error);
        using var json = new Utf8JsonWriter(bytes);
        json.WriteStartObject();
        foreach (var (name, member) in ((string, string)[])[("errorMessage", "message"), ("errorType", "name"), ("stackTrace", "stackTrace")])
        {
            if (document.RootElement.TryGetProperty(member, out var value))
            {
                json.WritePropertyName(name);
                json.WriteRawValue(value.GetRawText(), skipInputValidation: true);
            }
        }

        json.WriteEndObject();
        json.Flush();
        return bytes.WrittenSpan.ToArray();
    }
}
