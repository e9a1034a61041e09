using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Flint.Server.Services;

namespace Flint.Server.Api;

/// <summary>
/// One pass over a request's JSON before it becomes an object, so that a refusal can name the member: broken JSON, unknown members, members that
/// are there twice (which two parsers may read differently).
/// </summary>
internal static class StrictJson
{
    private const int MaxDepth = 32;

    public static void Check(ReadOnlySpan<byte> json, JsonTypeInfo type)
    {
        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = MaxDepth });
        try
        {
            if (!System.Text.Unicode.Utf8.IsValid(json))
            {
                throw new RefusedException("invalid_json", "The body is not UTF-8.", field: "body");
            }

            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
            {
                throw new RefusedException("invalid_type", "The body must be a JSON object.", field: "body");
            }

            CheckObject(ref reader, type, "");
            // What follows the value is an error, which the reader finds.
            reader.Read();
        }
        catch (JsonException exception)
        {
            throw new RefusedException("invalid_json",
                $"The body is not valid JSON at line {exception.LineNumber + 1}, byte {exception.BytePositionInLine + 1} of it.", field: "body",
                limit: $"{MaxDepth} levels");
        }
        catch (InvalidOperationException)
        {
            throw new RefusedException("invalid_json", "A string in the body has half a surrogate pair.", field: "body");
        }
    }

    private static void CheckObject(ref Utf8JsonReader reader, JsonTypeInfo? type, string path)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString()!;
            var member = path.Length == 0 ? name : $"{path}.{name}";
            if (!seen.Add(name))
            {
                throw new RefusedException("duplicate_field", "A member is there twice.", field: Shorten(member));
            }

            JsonPropertyInfo? property = null;
            if (type?.Kind == JsonTypeInfoKind.Object)
            {
                property = type.Properties.FirstOrDefault(p => p.Name == name)
                    ?? throw new RefusedException("unknown_field",
                        $"There is no such member; there are: {string.Join(", ", type.Properties.Select(p => p.Name))}.", field: Shorten(member));
            }

            reader.Read();
            CheckValue(ref reader, property is null ? null : property.Options.GetTypeInfo(property.PropertyType), member);
        }
    }

    private static void CheckValue(ref Utf8JsonReader reader, JsonTypeInfo? type, string path)
    {
        if (reader.TokenType == JsonTokenType.StartObject)
        {
            CheckObject(ref reader, type, path);
        }
        else if (reader.TokenType == JsonTokenType.StartArray)
        {
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                CheckValue(ref reader, null, path);
            }
        }
        else if (reader.TokenType == JsonTokenType.String && reader.ValueSpan.Length < 1024 * 1024)
        {
            // Throws for half a surrogate pair, which no UTF-8 can hold.
            _ = reader.GetString();
        }
    }

    private static string Shorten(string member) => member.Length <= 100 ? member : member[..100] + "...";
}
