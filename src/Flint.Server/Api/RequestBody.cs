using System.Buffers;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Flint.Server.Hosting;
using Flint.Server.Services;
using Microsoft.AspNetCore.Http.Features;

namespace Flint.Server.Api;

/// <summary>Reads bodies: bounded before the first byte is kept, JSON strictly.</summary>
internal static class RequestBody
{
    private const long Discarded = 16 * 1024 * 1024;

    /// <summary>
    /// The whole body, to be disposed when it is not needed any more; goes on where its last bytes came, see <see cref="SocketThreads"/>. Throws <see cref="RefusedException"/> with <paramref name="code"/> when it has more than
    /// <paramref name="max"/> bytes, and when there is no room for it or it comes too slowly.
    /// </summary>
    public static async ValueTask<Body> ReadAsync(
        HttpContext http, BodyBudget budget, long max, string code, string? knob, CancellationToken cancellationToken)
    {
        if (http.Request.ContentLength is { } declared)
        {
            if (declared > max)
            {
                await DiscardAsync(http, budget, declared, max, cancellationToken).ConfigureAwait(false);
                throw TooLarge(max, code, knob);
            }

            if (declared == 0)
            {
                return default;
            }
        }

        LiftServerLimit(http, max);
        var taken = http.Request.ContentLength ?? 0;
        if (!budget.TryTake(taken))
        {
            throw budget.NoRoom();
        }

        ITimer? limit = null;
        try
        {
            var reader = http.Request.BodyReader;
            var body = http.Request.ContentLength is { } length ? GC.AllocateUninitializedArray<byte>((int)length) : null;
            var grown = body is null ? new ArrayBufferWriter<byte>(4096) : null;
            var at = 0;
            while (true)
            {
                var reading = reader.ReadAsync(cancellationToken);
                limit ??= reading.IsCompleted ? null : budget.Limit(reader);
                var read = await reading.ConfigureAwait(false);
                if (read.IsCanceled)
                {
                    reader.AdvanceTo(read.Buffer.End);
                    throw budget.TooSlow();
                }

                if (grown is not null)
                {
                    if (grown.WrittenCount + read.Buffer.Length > max)
                    {
                        reader.AdvanceTo(read.Buffer.End);
                        throw TooLarge(max, code, knob);
                    }

                    if (!budget.TryTake(read.Buffer.Length, taken))
                    {
                        reader.AdvanceTo(read.Buffer.End);
                        throw budget.NoRoom();
                    }

                    taken += read.Buffer.Length;
                }

                foreach (var segment in read.Buffer)
                {
                    if (body is not null)
                    {
                        segment.Span.CopyTo(body.AsSpan(at));
                        at += segment.Length;
                    }
                    else
                    {
                        grown!.Write(segment.Span);
                    }
                }

                reader.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                {
                    // It is the body's from here on.
                    taken = 0;
                    return new Body(body ?? grown!.WrittenSpan.ToArray(), budget);
                }
            }
        }
        finally
        {
            budget.Give(taken);
            if (limit is not null)
            {
                await limit.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>The body as <typeparamref name="T"/>: no unknown members, none twice. An empty body is <paramref name="whenEmpty"/>, or refused where that is null.</summary>
    public static async Task<T> ReadJsonAsync<T>(
        HttpContext http, JsonTypeInfo<T> type, long max, string? knob, CancellationToken cancellationToken, T? whenEmpty = null)
        where T : class
    {
        using var held = await ReadAsync(http, http.RequestServices.GetRequiredService<BodyBudget>(), max, "body_too_large", knob, cancellationToken)
            .ConfigureAwait(false);
        var body = held.Bytes;
        await SocketThreads.Leave();
        if (body.Length == 0)
        {
            return whenEmpty ?? throw new RefusedException("invalid_json", "The request has no body; a JSON object is expected.", field: "body");
        }

        StrictJson.Check(body, type);
        try
        {
            return JsonSerializer.Deserialize(body, type) ?? throw NotAnObject();
        }
        catch (JsonException exception)
        {
            throw new RefusedException("invalid_type", "A member's value is of the wrong type or out of its type's range.", field: Field(exception.Path));
        }
    }

    /// <summary>A body that is a little too large is read and dropped, since most clients look for the answer only when they have sent it all.</summary>
    private static async Task DiscardAsync(HttpContext http, BodyBudget budget, long declared, long max, CancellationToken cancellationToken)
    {
        if (declared > max + Discarded)
        {
            return;
        }

        LiftServerLimit(http, declared);
        var reader = http.Request.BodyReader;
        await using var limit = budget.Limit(reader);
        while (true)
        {
            var read = await reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted || read.IsCanceled)
            {
                return;
            }
        }
    }

    private static string Field(string? path) => path is null or "$" ? "body" : path.StartsWith("$.", StringComparison.Ordinal) ? path[2..] : path;

    private static RefusedException NotAnObject() => new("invalid_type", "The body must be a JSON object.", field: "body");

    private static RefusedException TooLarge(long max, string code, string? knob) =>
        new(code, string.Create(CultureInfo.InvariantCulture, $"The request's body has more than {max} bytes."), field: "body",
            limit: string.Create(CultureInfo.InvariantCulture, $"{max} bytes"), knob: knob);

    /// <summary>Kestrel's own limit stays as the last guard for routes that read no body.</summary>
    private static void LiftServerLimit(HttpContext http, long max)
    {
        if (http.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } feature && !(feature.MaxRequestBodySize > max))
        {
            feature.MaxRequestBodySize = max + 1;
        }
    }
}
