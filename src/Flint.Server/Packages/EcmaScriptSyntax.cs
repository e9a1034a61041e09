namespace Flint.Server.Packages;

/// <summary>
/// Tells whether JavaScript source is an ES module. <c>import</c> and <c>export</c> are reserved words: outside of brackets,
/// comments, strings, templates and regular expressions they cannot stand in a CommonJS file except as <c>.export</c> or <c>import(</c>.
/// </summary>
internal static class EcmaScriptSyntax
{
    public static bool IsModule(ReadOnlySpan<char> source)
    {
        var depth = 0;
        var operandBefore = false;
        var afterDot = false;
        for (var at = 0; at < source.Length;)
        {
            var c = source[at];
            if (char.IsWhiteSpace(c))
            {
                at++;
                continue;
            }

            if (StartsComment(source, at))
            {
                at = SkipComment(source, at);
                continue;
            }

            if (char.IsLetter(c) || c is '_' or '$')
            {
                var end = at + 1;
                while (end < source.Length && (char.IsLetterOrDigit(source[end]) || source[end] is '_' or '$'))
                {
                    end++;
                }

                var word = source[at..end];
                if (depth == 0 && !afterDot && (word is "export" || (word is "import" && !IsDynamic(source[end..]))))
                {
                    return true;
                }

                operandBefore = afterDot || !IsKeywordBeforeOperand(word);
                afterDot = false;
                at = end;
                continue;
            }

            afterDot = c == '.';
            switch (c)
            {
                case '"' or '\'':
                    at = SkipQuoted(source, at, c);
                    operandBefore = true;
                    continue;
                case '`':
                    at = SkipTemplate(source, at);
                    operandBefore = true;
                    continue;
                case '/' when !operandBefore:
                    at = SkipRegex(source, at);
                    operandBefore = true;
                    continue;
                case '(' or '[' or '{':
                    depth++;
                    break;
                case ')' or ']' or '}':
                    depth = Math.Max(0, depth - 1);
                    break;
            }

            operandBefore = char.IsDigit(c) || c is ')' or ']';
            at++;
        }

        return false;
    }

    private static bool StartsComment(ReadOnlySpan<char> source, int at) =>
        source[at] == '/' && at + 1 < source.Length && (source[at + 1] == '/' || source[at + 1] == '*');

    private static bool IsDynamic(ReadOnlySpan<char> rest) => rest.TrimStart().StartsWith("(");

    private static bool IsKeywordBeforeOperand(ReadOnlySpan<char> word) =>
        word is "return" or "typeof" or "case" or "in" or "of" or "delete" or "void" or "throw" or "new" or "else" or "do" or "await"
            or "yield" or "instanceof" or "default";

    private static int SkipComment(ReadOnlySpan<char> source, int at)
    {
        var line = source[at + 1] == '/';
        var length = line ? source[at..].IndexOfAny('\n', '\r') : source[(at + 2)..].IndexOf("*/");
        return length < 0 ? source.Length : line ? at + length : at + 2 + length + 2;
    }

    private static int SkipQuoted(ReadOnlySpan<char> source, int at, char quote)
    {
        for (at++; at < source.Length && source[at] != quote && source[at] != '\n'; at++)
        {
            if (source[at] == '\\')
            {
                at++;
            }
        }

        return Math.Min(source.Length, at + 1);
    }

    private static int SkipRegex(ReadOnlySpan<char> source, int at)
    {
        var inClass = false;
        for (at++; at < source.Length && source[at] != '\n' && (inClass || source[at] != '/'); at++)
        {
            inClass = source[at] switch { '[' => true, ']' => false, _ => inClass };
            if (source[at] == '\\')
            {
                at++;
            }
        }

        return Math.Min(source.Length, at + 1);
    }

    /// <summary>Skips a template with its substitutions, in which braces, strings and templates may nest.</summary>
    private static int SkipTemplate(ReadOnlySpan<char> source, int at)
    {
        // One entry for each open template: how many braces are open in its current substitution; -1 while in its text.
        var open = new Stack<int>();
        open.Push(-1);
        at++;
        while (at < source.Length && open.Count > 0)
        {
            var c = source[at];
            if (open.Peek() < 0)
            {
                if (c == '\\')
                {
                    at++;
                }
                else if (c == '`')
                {
                    open.Pop();
                }
                else if (c == '$' && at + 1 < source.Length && source[at + 1] == '{')
                {
                    open.Pop();
                    open.Push(0);
                    at++;
                }

                at++;
                continue;
            }

            switch (c)
            {
                case '"' or '\'':
                    at = SkipQuoted(source, at, c);
                    continue;
                case '/' when StartsComment(source, at):
                    at = SkipComment(source, at);
                    continue;
                case '`':
                    open.Push(-1);
                    break;
                case '{':
                    open.Push(open.Pop() + 1);
                    break;
                case '}':
                    var depth = open.Pop();
                    open.Push(depth - 1);
                    break;
            }

            at++;
        }

        return at;
    }
}
