using System.Text.Json;
using System.Text.Json.Serialization;
using Flint.Runtime.Invocation;

namespace Flint.TestKit.Guest;

/// <summary>
/// One behaviour that every guest must show: an entry of guest/conformance/cases.json or jobs.json. Members of a language win over the case's own.
/// </summary>
public sealed record GuestCase
{
    public required string Name { get; init; }
    /// <summary>What the case shows, where its name does not say it.</summary>
    public string? Note { get; init; }
    public int MemoryMb { get; init; } = 256;
    public Dictionary<string, string> Environment { get; init; } = [];
    public GuestCall Call { get; init; }
    public GuestGlobals Globals { get; init; }
    /// <summary>The init's failure; null when the handler loads.</summary>
    public GuestExpectation? Init { get; init; }
    public List<GuestInvokeStep> Invokes { get; init; } = [];
    /// <summary>By the runtime's prefix: <c>python</c>, <c>nodejs</c>.</summary>
    public required Dictionary<string, GuestProgram> Languages { get; init; }

    public override string ToString() => Name;
}

/// <summary>What one language needs for a case.</summary>
public sealed record GuestProgram
{
    public required string Handler { get; init; }
    /// <summary>Contents by relative path; lines are joined by line feeds.</summary>
    public required Dictionary<string, Lines> Files { get; init; }
    public GuestExpectation? Init { get; init; }
    public List<GuestInvokeStep>? Invokes { get; init; }
}

/// <summary>One event and what must come of it.</summary>
public sealed record GuestInvokeStep
{
    /// <summary>The event; null text means JSON null.</summary>
    public JsonElement Event { get; init; }
    /// <summary>The event's exact text, for what JSON in JSON cannot say.</summary>
    public string? EventText { get; init; }
    /// <summary>Instead of an event: one object whose member <c>x</c> is so many letters y.</summary>
    public int? EventSize { get; init; }
    public string? ClientContext { get; init; }
    public string? TraceId { get; init; }
    public required GuestExpectation Expect { get; init; }
}

/// <summary>
/// What must come of an init or an invocation. Patterns are regular expressions for the whole text, in which <c>{root}</c> is the code's
/// directory, <c>{id}</c> the invocation's id and <c>{time}</c> a time with milliseconds.
/// </summary>
public sealed record GuestExpectation
{
    /// <summary>The result, compared as JSON; undefined where it does not matter.</summary>
    public JsonElement Result { get; init; }
    /// <summary>A pattern for the result's text.</summary>
    public string? ResultText { get; init; }
    public GuestErrorExpectation? Error { get; init; }
    /// <summary>The guest ends without an answer.</summary>
    public GuestExitExpectation? Exit { get; init; }
    /// <summary>The guest breaks the protocol.</summary>
    public bool Violation { get; init; }
    /// <summary>All log lines, each <c>out: pattern</c> or <c>err: pattern</c>; null when they do not matter.</summary>
    public List<string>? Log { get; init; }
    /// <summary>Log lines that must be among the others, in any order.</summary>
    public List<string> LogHas { get; init; } = [];
    /// <summary>Whether the guest can be used again; by default after a result or an error.</summary>
    public bool? Usable { get; init; }
}

public sealed record GuestErrorExpectation(string Type, string Name)
{
    /// <summary>A pattern.</summary>
    public string? Message { get; init; }
    /// <summary>Patterns of all frames; null when they do not matter.</summary>
    public List<string>? StackTrace { get; init; }
}

/// <summary>How the guest's process must end (in any way when neither code nor signal is given), and how that must be classified.</summary>
public sealed record GuestExitExpectation
{
    public int? Code { get; init; }
    public int? Signal { get; init; }
    public required string Type { get; init; }
    /// <summary>A pattern.</summary>
    public required string Message { get; init; }
}

/// <summary>Text that JSON may give as a string or as a list of lines.</summary>
[JsonConverter(typeof(LinesConverter))]
public sealed record Lines(string Text);

internal sealed class LinesConverter : JsonConverter<Lines>
{
    public override Lines Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        if (reader.TokenType == JsonTokenType.String)
        {
            return new Lines(reader.GetString()!);
        }
        string[] lines = JsonSerializer.Deserialize<string[]>(ref reader, options) ?? [];
        return new Lines(string.Join('\n', lines) + "\n");
    }

    public override void Write(Utf8JsonWriter writer, Lines value, JsonSerializerOptions options) => throw new NotSupportedException();
}
