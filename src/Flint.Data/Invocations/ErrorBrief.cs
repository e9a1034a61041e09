using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Flint.Data.Invocations;

/// <summary>
/// An error as lists carry it: no stack, name and message of at most 1000 characters each, marked where they were cut. Functions write
/// errors of hundreds of kilobytes, and a page holds a thousand records.
/// </summary>
internal static class ErrorBrief
{
    /// <summary>How much of an error's text a list reads, in characters: enough for a thousand of name and of message, each escaped to six.</summary>
    public const int PrefixLength = 16_384;

    public const int MaxText = 1000;

    public const string Mark = "… [cut]";

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <param name="error">The JSON, or its first <see cref="PrefixLength"/> characters. What cannot be read of it is left out.</param>
    [return: NotNullIfNotNull(nameof(error))]
    public static string? Of(string? error)
    {
        if (error is null)
        {
            return null;
        }

        var utf8 = Encoding.UTF8.GetBytes(error.Length > PrefixLength ? error[..PrefixLength] : error);
        var (type, name, message) = Read(utf8);
        var bytes = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(bytes, Options))
        {
            json.WriteStartObject();
            json.WriteString("type"u8, Cut(type));
            json.WriteString("name"u8, Cut(name));
            json.WriteString("message"u8, Cut(message ?? Mark));
            json.WriteStartArray("stackTrace"u8);
            json.WriteEndArray();
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    private static (string Type, string Name, string? Message) Read(byte[] utf8)
    {
        var texts = new Dictionary<string, string>(StringComparer.Ordinal);
        var reader = new Utf8JsonReader(utf8, isFinalBlock: false, state: default);
        var property = "";
        try
        {
            while (reader.Read())
            {
                if (reader is { TokenType: JsonTokenType.PropertyName, CurrentDepth: 1 })
                {
                    property = reader.GetString()!;
                }
                else if (reader is { TokenType: JsonTokenType.String, CurrentDepth: 1 })
                {
                    texts[property] = reader.GetString()!;
                }
            }

            if (reader.TokenType == JsonTokenType.PropertyName)
            {
                texts[property] = Begun(utf8.AsSpan((int)reader.BytesConsumed));
            }
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // Not what Flint writes; what was read until here is shown.
        }

        return (texts.GetValueOrDefault("type", ""), texts.GetValueOrDefault("name", ""), texts.GetValueOrDefault("message"));
    }

    /// <summary>A string whose end was not read: its whole characters, marked.</summary>
    private static string Begun(ReadOnlySpan<byte> rest)
    {
        var start = rest.IndexOf((byte)'"') + 1;
        var raw = start == 0 ? [] : rest[start..];
        var end = 0;
        for (var units = 0; units < MaxText && end < raw.Length; units++)
        {
            var length = raw[end] != '\\' ? 1 : end + 1 < raw.Length && raw[end + 1] == 'u' ? 6 : 2;
            if (end + length > raw.Length)
            {
                break;
            }

            end += length;
        }

        // Half of an escaped pair.
        var last = raw[..end];
        if (last.Length >= 6 && last[^6] == '\\' && last[^5] == 'u' && last[^4] is (byte)'d' or (byte)'D' && last[^3] is (byte)'8' or (byte)'9' or (byte)'a' or (byte)'b' or (byte)'A' or (byte)'B')
        {
            last = last[..^6];
        }

        var reader = new Utf8JsonReader([(byte)'"', .. Whole(last), (byte)'"']);
        reader.Read();
        return reader.GetString() + Mark;
    }

    /// <summary>Without the bytes of a character that is not all there.</summary>
    private static ReadOnlySpan<byte> Whole(ReadOnlySpan<byte> utf8)
    {
        while (!utf8.IsEmpty && Rune.DecodeLastFromUtf8(utf8, out _, out _) != OperationStatus.Done)
        {
            utf8 = utf8[..^1];
        }

        return utf8;
    }

    private static string Cut(string text)
    {
        if (text.Length <= MaxText || text.EndsWith(Mark, StringComparison.Ordinal) && text.Length <= MaxText + Mark.Length)
        {
            return text;
        }

        return string.Concat(text.AsSpan(0, char.IsHighSurrogate(text[MaxText - 1]) ? MaxText - 1 : MaxText), Mark);
    }
}
