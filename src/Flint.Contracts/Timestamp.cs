using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Flint.Contracts;

/// <summary>The one form of a time in the API: UTC, always three decimals, as in <c>2026-01-31T08:00:00.000Z</c>. Stateless.</summary>
public sealed class Timestamp : JsonConverter<DateTimeOffset>
{
    public const string Format = "yyyy-MM-dd'T'HH:mm:ss.fff'Z'";

    /// <summary>Any ISO 8601 time is read; one without an offset counts as the reader's local time.</summary>
    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDateTimeOffset();

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options) => Write(writer, value);

    public static void Write(Utf8JsonWriter writer, DateTimeOffset value)
    {
        Span<byte> text = stackalloc byte[32];
        value.UtcDateTime.TryFormat(text, out var length, Format, CultureInfo.InvariantCulture);
        writer.WriteStringValue(text[..length]);
    }
}
