using System.Text;

namespace Flint.Data;

/// <summary>
/// Text that both databases keep unchanged: well-formed Unicode without NUL. PostgreSQL refuses the rest, SQLite would alter it silently.
/// </summary>
internal static class StorableText
{
    public static bool Is(string text)
    {
        var suspect = text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        if (text.Contains('\0'))
        {
            return false;
        }

        return suspect < 0 || IsWellFormed(text.AsSpan(suspect));
    }

    /// <summary>The text with U+FFFD for each NUL and each half of a pair; the same instance when there is none.</summary>
    public static string? Clean(string? text)
    {
        if (text is null || Is(text))
        {
            return text;
        }

        var clean = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes())
        {
            clean.Append(rune.Value == 0 ? Rune.ReplacementChar.ToString() : rune.ToString());
        }

        return clean.ToString();
    }

    private static bool IsWellFormed(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(text, out _, out var consumed) != System.Buffers.OperationStatus.Done)
            {
                return false;
            }

            text = text[consumed..];
        }

        return true;
    }
}
