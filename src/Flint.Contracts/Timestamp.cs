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
        // By hand, since every answer has several.
        var (date, time) = (value.UtcDateTime, value.UtcDateTime.TimeOfDay);
        Span<byte> text = stackalloc byte[24];
        "0000-00-00T00:00:00.000Z"u8.CopyTo(text);
        Digits(text[..4], date.Year);
        Digits(text[5..7], date.Month);
        Digits(text[8..10], date.Day);
        Digits(text[11..13], time.Hours);
        Digits(text[14..16], time.Minutes);
        Digits(text[17..19], time.Seconds);
        Digits(text[20..23], time.Milliseconds);
        writer.WriteStringValue(text);
    }

    private static void Digits(Span<byte> text, int number)
    {
        for (var at = text.Length - 1; at >= 0; at--, number /= 10)
        {
            text[at] = (byte)('0' + (number % 10));
        }
    }
}
