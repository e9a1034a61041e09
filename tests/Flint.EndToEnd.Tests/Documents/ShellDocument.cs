namespace Flint.EndToEnd.Tests.Documents;

/// <summary>A command of a document and what the document says it prints (null: it says nothing).</summary>
internal sealed record ShellStep(int Line, string Script, string? Prints)
{
    /// <summary>A server is started in a terminal of its own and goes on.</summary>
    public bool StartsServer => Script.TrimStart().StartsWith("./run", StringComparison.Ordinal) && !Script.Contains("doctor");
}

/// <summary>
/// The commands of a Markdown page, in order: every fenced block marked <c>sh</c>, with the block marked <c>json</c> or <c>text</c> that
/// follows it directly as its output. A block marked <c>shell</c> is shown, not run.
/// </summary>
internal static class ShellDocument
{
    public static IReadOnlyList<ShellStep> Read(string path)
    {
        var steps = new List<ShellStep>();
        var afterCommand = false;
        foreach (var (line, language, text) in Blocks(File.ReadAllLines(path)))
        {
            if (language == "sh")
            {
                steps.Add(new ShellStep(line, text, null));
            }
            else if (language is "json" or "text" && afterCommand)
            {
                steps[^1] = steps[^1] with { Prints = text };
            }

            afterCommand = language == "sh";
        }

        return steps;
    }

    private static IEnumerable<(int Line, string Language, string Text)> Blocks(string[] lines)
    {
        for (var start = 0; start < lines.Length; start++)
        {
            if (lines[start].StartsWith("```", StringComparison.Ordinal))
            {
                var end = Array.IndexOf(lines, "```", start + 1);
                yield return (start + 1, lines[start][3..].Trim(), string.Join('\n', lines[(start + 1)..end]));
                start = end;
            }
        }
    }
}
