using System.Buffers;
using System.Text;

namespace Flint.Runtime.Guest;

/// <summary>
/// Makes a guest's bytes and strings harmless text: invalid UTF-8 and lone surrogates become U+FFFD, control characters their visible pictures
/// (U+2400 and up), so that no log reader's terminal or database (NUL) chokes on them. Tabs and carriage returns stay; line feeds only where asked.
/// </summary>
internal static class GuestText
{
    private static readonly SearchValues<char> Suspicious = SearchValues.Create(SuspiciousCharacters());

    /// <summary>Text of one log line. A trailing carriage return is cut; one within marks a line break inside an event.</summary>
    public static string Line(ReadOnlySpan<byte> utf8)
    {
        if (utf8.EndsWith("\r"u8))
        {
            utf8 = utf8[..^1];
        }
        return utf8.IsEmpty ? "" : Clean(Encoding.UTF8.GetString(utf8), keepLineFeeds: false);
    }

    /// <summary>Text of an error's part, cut to <paramref name="maxLength"/> characters.</summary>
    public static string Part(string text, int maxLength) =>
        Clean(text.Length <= maxLength ? text : string.Concat(text.AsSpan(0, maxLength - 1), "…"), keepLineFeeds: true);

    private static string Clean(string text, bool keepLineFeeds)
    {
        int first = text.AsSpan().IndexOfAny(Suspicious);
        return first < 0
            ? text
            : string.Create(text.Length, (text, first, keepLineFeeds), static (target, state) =>
            {
                state.text.CopyTo(target);
                for (int i = state.first; i < target.Length; i++)
                {
                    target[i] = Replace(state.text, i, state.keepLineFeeds);
                }
            });
    }

    private static char Replace(string text, int index, bool keepLineFeeds)
    {
        char c = text[index];
        return c switch
        {
            '\t' or '\r' => c,
            '\n' when keepLineFeeds => c,
            < ' ' => (char)(0x2400 + c),
            '\u007f' => '\u2421',
            >= '\u0080' and <= '\u009f' => '\ufffd',
            _ when char.IsHighSurrogate(c) => index + 1 < text.Length && char.IsLowSurrogate(text[index + 1]) ? c : '\ufffd',
            _ when char.IsLowSurrogate(c) => index > 0 && char.IsHighSurrogate(text[index - 1]) ? c : '\ufffd',
            _ => c,
        };
    }

    private static char[] SuspiciousCharacters() =>
        [.. Enumerable.Range(0, ' ').Where(c => c is not ('\t' or '\r')).Concat(Enumerable.Range(0x7f, 0x21)).Concat(Enumerable.Range(0xd800, 0x800))
            .Select(c => (char)c)];
}
