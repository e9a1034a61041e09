using System.Globalization;
using System.Text.Json;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>Reads single values of a submission. A JSON null is as if the member were not there. Refusals name the member.</summary>
internal static class JobValues
{
    public static int? Int(ref Utf8JsonReader reader, string member) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.Number when reader.TryGetInt32(out var value) => value,
        _ => throw WrongType(member, "a whole number in the range of its type"),
    };

    public static long? Long(ref Utf8JsonReader reader, string member) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.Number when reader.TryGetInt64(out var value) => value,
        _ => throw WrongType(member, "a whole number in the range of its type"),
    };

    public static double? Number(ref Utf8JsonReader reader, string member) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.Number when reader.TryGetDouble(out var value) && double.IsFinite(value) => value,
        _ => throw WrongType(member, "a number"),
    };

    public static bool? Flag(ref Utf8JsonReader reader, string member) => reader.TokenType switch
    {
        JsonTokenType.Null => null,
        JsonTokenType.True => true,
        JsonTokenType.False => false,
        _ => throw WrongType(member, "true or false"),
    };

    /// <summary>With an offset, or Z: what a client's local time is, the server cannot know.</summary>
    public static DateTimeOffset? Time(ref Utf8JsonReader reader, string member)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return null;
        }

        if (reader.TokenType == JsonTokenType.String && reader.TryGetDateTimeOffset(out var time))
        {
            var text = reader.GetString().AsSpan();
            var clock = text.IndexOf('T');
            if (text.EndsWith("Z") || (clock > 0 && text[clock..].IndexOfAny('+', '-') > 0))
            {
                return time;
            }
        }

        throw WrongType(member, "a time with its offset, such as 2026-01-31T08:00:00Z");
    }

    /// <summary>A string, or a member's name.</summary>
    public static string? Text(ref Utf8JsonReader reader, string member, int most)
    {
        if (reader.TokenType == JsonTokenType.Null)
        {
            return null;
        }

        if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName))
        {
            throw WrongType(member, "text");
        }

        if (reader.ValueSpan.Length > most)
        {
            throw new RefusedException("out_of_range", $"{member} has more than {most} bytes.", field: member, limit: $"{most} bytes");
        }

        try
        {
            var text = reader.GetString()!;
            return text.Contains('\0') ? throw Unstorable(member) : text;
        }
        catch (InvalidOperationException)
        {
            throw Unstorable(member);
        }
    }

    /// <summary>A string's bytes, or those of a member's name, without escapes: where they stand in the body when there are none.</summary>
    public static ReadOnlyMemory<byte> Bytes(ref Utf8JsonReader reader, ReadOnlyMemory<byte> body, string member, int most)
    {
        if (reader.TokenType is not (JsonTokenType.String or JsonTokenType.PropertyName))
        {
            throw WrongType(member, "text");
        }

        ReadOnlyMemory<byte> bytes;
        if (!reader.ValueIsEscaped)
        {
            bytes = body.Slice((int)reader.TokenStartIndex + 1, reader.ValueSpan.Length);
        }
        else
        {
            var buffer = GC.AllocateUninitializedArray<byte>(reader.ValueSpan.Length);
            try
            {
                bytes = buffer.AsMemory(0, reader.CopyString(buffer.AsSpan()));
            }
            catch (InvalidOperationException)
            {
                throw Unstorable(member);
            }

            if (bytes.Span.Contains((byte)0))
            {
                throw Unstorable(member);
            }
        }

        return bytes.Length <= most ? bytes : throw TooMuchCode(member, bytes.Length, most);
    }

    /// <summary>True at the beginning of the object or array; false for null.</summary>
    public static bool Opens(ref Utf8JsonReader reader, JsonTokenType start, string member, string what) =>
        reader.TokenType == start || (reader.TokenType == JsonTokenType.Null ? false : throw WrongType(member, what));

    /// <summary>Which of the members comes next.</summary>
    public static int Member(ref Utf8JsonReader reader, string path, ref int seen, params ReadOnlySpan<string> known)
    {
        for (var index = 0; index < known.Length; index++)
        {
            if (reader.ValueTextEquals(known[index]))
            {
                return (seen & (1 << index)) != 0
                    ? throw new RefusedException("duplicate_field", "A member is there twice.", field: $"{path}.{known[index]}")
                    : SetBit(ref seen, index);
            }
        }

        throw new RefusedException("unknown_field", $"There is no such member; there are: {string.Join(", ", known)}.", field: $"{path}.{NameOf(ref reader)}");
    }

    /// <summary>A member's name as a refusal shows it.</summary>
    public static string NameOf(ref Utf8JsonReader reader)
    {
        try
        {
            var name = reader.ValueSpan.Length <= 4096 ? reader.GetString()! : System.Text.Encoding.UTF8.GetString(reader.ValueSpan[..100]);
            return name.Length <= 100 ? name : name[..100] + "...";
        }
        catch (InvalidOperationException)
        {
            throw Unstorable("body");
        }
    }

    public static RefusedException WrongType(string member, string what) => new("invalid_type", $"{member} must be {what}.", field: member);

    public static RefusedException TooMuchCode(string member, long size, int most) => member == "files" || member.StartsWith("files.", StringComparison.Ordinal) || member is "code" or "zip"
        ? new RefusedException("code_too_large", string.Create(CultureInfo.InvariantCulture, $"A job's code has {size} bytes or more; at most {most} are taken."), field: member,
            limit: string.Create(CultureInfo.InvariantCulture, $"{most} bytes"), knob: "Flint:Jobs:MaxCodeBytes")
        : new RefusedException("out_of_range", $"{member} has more than {most} bytes.", field: member, limit: $"{most} bytes");

    private static RefusedException Unstorable(string member) => new("invalid_field", $"{member} has a NUL character or half a surrogate pair.", field: member);

    private static int SetBit(ref int seen, int index)
    {
        seen |= 1 << index;
        return index;
    }
}
