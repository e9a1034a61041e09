using System.Text.Json;
using System.Text.Unicode;

namespace Flint.Runtime.Guest;

/// <summary>Checks bytes from outside to be exactly one JSON value in UTF-8, without building it.</summary>
public static class JsonCheck
{
    /// <summary>Null when the bytes are one JSON value of at most <paramref name="maxDepth"/> levels, else what is wrong with them.</summary>
    public static string? Fault(ReadOnlySpan<byte> bytes, int maxDepth)
    {
        // The JSON reader itself looks at no byte above 0x7f inside a string.
        if (!Utf8.IsValid(bytes))
        {
            return "it is not valid UTF-8";
        }
        Utf8JsonReader reader = new(bytes, new JsonReaderOptions { MaxDepth = maxDepth });
        try
        {
            while (reader.Read())
            {
            }
            return null;
        }
        catch (JsonException e)
        {
            bool justOpened = reader.TokenType is JsonTokenType.StartArray or JsonTokenType.StartObject;
            return reader.CurrentDepth + (justOpened ? 1 : 0) >= maxDepth
                ? $"it is nested deeper than {maxDepth} levels, or broken there"
                : $"it is not valid JSON near line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}";
        }
    }
}
