using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using Flint.Data.Queue;
using Flint.Runtime.Invocation;

namespace Flint.Server.Queue.Destinations;

/// <summary>Sends deliveries to webhooks. What goes wrong there or on the way is an outcome, and tried again by the delivery's rules. Thread-safe.</summary>
internal sealed class WebhookDelivery : IDisposable
{
    /// <summary>What is read of an answer's body, for the record.</summary>
    private const int MaxAnswer = 1024;

    private readonly HttpClient _http;
    private readonly WebhookOptions _options;
    private readonly TimeProvider _time;

    public WebhookDelivery(WebhookAddresses addresses, WebhookOptions options, TimeProvider time)
    {
        _options = options;
        _time = time;
        _http = new HttpClient(new SocketsHttpHandler
        {
            ConnectCallback = (context, token) => addresses.ConnectAsync(context.DnsEndPoint, token),
            // A redirect could lead anywhere; a proxy would resolve names itself.
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            ActivityHeadersPropagator = null,
            AutomaticDecompression = DecompressionMethods.None,
            MaxResponseHeadersLength = 16,
            PooledConnectionLifetime = TimeSpan.FromMinutes(1),
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    public void Dispose() => _http.Dispose();

    /// <summary>One request. <paramref name="aborting"/>: it must end at once, with an <see cref="OperationCanceledException"/>.</summary>
    public async Task<InvocationOutcome> DeliverAsync(ClaimedItem item, DeliveryWork delivery, CancellationToken aborting)
    {
        var (startedAt, began) = (_time.GetUtcNow(), _time.GetTimestamp());
        using var timeout = new CancellationTokenSource(TimeSpan.FromMilliseconds(_options.TimeoutMs), _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, aborting);
        InvocationError? error;
        var result = ReadOnlyMemory<byte>.Empty;
        try
        {
            using var request = Request(item, delivery);
            using var answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token).ConfigureAwait(false);
            var status = (int)answer.StatusCode;
            if (status is >= 200 and <= 299)
            {
                error = null;
                result = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{{\"status\":{status}}}"));
            }
            else
            {
                var text = await ReadAsync(answer.Content, either.Token).ConfigureAwait(false);
                error = Failed(string.Create(CultureInfo.InvariantCulture, $"The webhook answered {status}") + (text.Length == 0 ? "." : ": " + text));
            }
        }
        catch (OperationCanceledException) when (!aborting.IsCancellationRequested)
        {
            error = Failed($"The webhook did not answer within {_options.TimeoutMs} ms (Flint:Webhooks:TimeoutMs).");
        }
        catch (HttpRequestException exception) when (exception.InnerException is AddressRefusedException refused)
        {
            error = new InvocationError(FaultType.DestinationRefused, refused.Message);
        }
        catch (Exception exception) when (exception is HttpRequestException or IOException or SocketException)
        {
            error = Failed("The webhook could not be reached: " + exception.Message);
        }

        return new InvocationOutcome
        {
            Status = error is null ? InvocationStatus.Completed : InvocationStatus.Failed,
            Error = error,
            Result = result,
            StartedAt = startedAt,
            CompletedAt = _time.GetUtcNow(),
            Duration = _time.GetElapsedTime(began),
        };
    }

    /// <summary><c>t=1767225600,v1=...</c>: the time, and HMAC-SHA256 over it, a dot and the body, in lower-case hex.</summary>
    public static string Sign(string secret, long unixSeconds, ReadOnlySpan<byte> body)
    {
        using var hmac = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(secret));
        hmac.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{unixSeconds}.")));
        hmac.AppendData(body);
        return string.Create(CultureInfo.InvariantCulture, $"t={unixSeconds},v1={Convert.ToHexStringLower(hmac.GetHashAndReset())}");
    }

    private HttpRequestMessage Request(ClaimedItem item, DeliveryWork delivery)
    {
        var body = item.Payload ?? ReadOnlyMemory<byte>.Empty;
        var request = new HttpRequestMessage(HttpMethod.Post, delivery.Url) { Content = new ReadOnlyMemoryContent(body) };
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        request.Headers.TryAddWithoutValidation("User-Agent", "Flint");
        request.Headers.TryAddWithoutValidation("Flint-Delivery-Id", item.Id);
        request.Headers.TryAddWithoutValidation("Flint-Event", delivery.Event);
        if (delivery.Secret is { } secret)
        {
            request.Headers.TryAddWithoutValidation("Flint-Signature", Sign(secret, _time.GetUtcNow().ToUnixTimeSeconds(), body.Span));
        }

        return request;
    }

    /// <summary>The beginning of an answer, as text of one line; nothing when it does not come whole.</summary>
    private static async Task<string> ReadAsync(HttpContent content, CancellationToken cancellationToken)
    {
        var bytes = new byte[MaxAnswer];
        try
        {
            await using var stream = await content.ReadAsStreamAsync(cancellationToken).ConfigureAwait(false);
            var read = await stream.ReadAtLeastAsync(bytes, bytes.Length, throwOnEndOfStream: false, cancellationToken).ConfigureAwait(false);
            return string.Concat(Encoding.UTF8.GetString(bytes, 0, read).Select(c => char.IsControl(c) ? ' ' : c)).Trim();
        }
        catch (Exception exception) when (exception is IOException or HttpRequestException)
        {
            return "";
        }
    }

    private static InvocationError Failed(string message) => new(FaultType.DeliveryFailed, message);
}
