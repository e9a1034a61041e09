using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace Flint.EndToEnd.Tests.Documents;

/// <summary>
/// Compares what a document or an example shows with what came. JSON: every member shown must be there and equal, more may be there. A value
/// that differs from run to run (an id, a time, a duration) need only be of the same kind. Text: equal, where … stands for anything.
/// </summary>
internal static class Expected
{
    private static readonly HashSet<string> Volatile =
    [
        "id", "revisionId", "codeSha256", "codeSizeBytes", "createdAt", "updatedAt", "startedAt", "completedAt", "time",
        "durationMs", "initDurationMs", "billedDurationMs", "peakMemoryMb",
    ];

    /// <summary>The differences; empty when it matches.</summary>
    public static IReadOnlyList<string> Match(JsonNode? expected, JsonNode? actual) => [.. Differences("", expected, actual)];

    public static IReadOnlyList<string> Match(string expected, string actual)
    {
        if (TryParse(expected) is { } expectedJson)
        {
            return TryParse(actual) is { } actualJson ? Match(expectedJson, actualJson) : [$"not JSON: {actual}"];
        }

        return Matches(expected.Trim(), actual.Trim()) ? [] : [$"expected:\n{expected}\ncame:\n{actual}"];
    }

    private static IEnumerable<string> Differences(string path, JsonNode? expected, JsonNode? actual)
    {
        switch (expected)
        {
            case JsonObject members when actual is JsonObject others:
                return members.SelectMany(member => Volatile.Contains(member.Key)
                    ? SameKind($"{path}.{member.Key}", member.Value, others[member.Key])
                    : Differences($"{path}.{member.Key}", member.Value, others[member.Key]));
            case JsonArray items when actual is JsonArray others:
                return items.Count == others.Count
                    ? items.Zip(others).SelectMany((pair, index) => Differences($"{path}[{index}]", pair.First, pair.Second))
                    : [$"{path}: {items.Count} items shown, {others.Count} came"];
            case JsonValue value when value.GetValueKind() == JsonValueKind.String && actual?.GetValueKind() == JsonValueKind.String:
                return Matches(value.GetValue<string>(), actual.GetValue<string>()) ? [] : [$"{path}: {value} shown, {actual} came"];
            default:
                return JsonNode.DeepEquals(expected, actual) ? [] : [$"{path}: {expected?.ToJsonString() ?? "null"} shown, {actual?.ToJsonString() ?? "nothing"} came"];
        }
    }

    private static IEnumerable<string> SameKind(string path, JsonNode? expected, JsonNode? actual) =>
        expected?.GetValueKind() == actual?.GetValueKind() ? [] : [$"{path}: {actual?.ToJsonString() ?? "nothing"} came"];

    private static bool Matches(string expected, string actual) =>
        Regex.IsMatch(actual, $"^{Regex.Escape(expected).Replace("…", "(.|\n)*?")}$");

    private static JsonNode? TryParse(string text)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
