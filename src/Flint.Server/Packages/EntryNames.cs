using System.Globalization;
using System.Text;
using Flint.Server.Services;

namespace Flint.Server.Packages;

/// <summary>What the name of an archive entry may be.</summary>
internal static class EntryNames
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    /// <summary>
    /// The entry's path: relative, with single slashes, no dots, no trailing slash. Throws <see cref="RefusedException"/> for anything
    /// that some system could take for a path elsewhere.
    /// </summary>
    public static string Check(ReadOnlySpan<byte> raw, PackagesOptions limits)
    {
        if (raw.Length > limits.MaxNameBytes)
        {
            throw new RefusedException("entry_name_too_long", $"An entry's name has {raw.Length} bytes; at most {limits.MaxNameBytes} are taken.",
                Escape(Encoding.Latin1.GetString(raw[..64])) + "...", limit: $"{limits.MaxNameBytes} bytes", knob: "Flint:Packages:MaxNameBytes");
        }

        string name;
        try
        {
            name = Strict.GetString(raw);
        }
        catch (DecoderFallbackException)
        {
            throw Refuse("is not UTF-8", Encoding.Latin1.GetString(raw));
        }

        if (name.StartsWith("./", StringComparison.Ordinal))
        {
            name = name[2..];
        }

        var path = name.EndsWith('/') ? name[..^1] : name;
        CheckCharacters(path);
        var parts = path.Split('/');
        if (parts.Length > limits.MaxDepth)
        {
            throw new RefusedException("entry_too_deep", $"An entry lies {parts.Length} directories deep; at most {limits.MaxDepth} are taken.",
                Escape(path), limit: limits.MaxDepth.ToString(CultureInfo.InvariantCulture), knob: "Flint:Packages:MaxDepth");
        }

        foreach (var part in parts)
        {
            if (part is "" or "." or "..")
            {
                throw Refuse(part == ".." ? "leaves the archive" : "has an empty or dot component", path);
            }

            if (Encoding.UTF8.GetByteCount(part) > 255)
            {
                throw Refuse("has a component of more than 255 bytes, which file systems do not take", path);
            }
        }

        return path;
    }

    /// <summary>Printable ASCII only, at most 200 characters: safe in a terminal, a log and JSON.</summary>
    public static string Escape(string name)
    {
        var text = new StringBuilder();
        foreach (var c in name)
        {
            if (text.Length >= 200)
            {
                text.Append("...");
                break;
            }

            if (c is >= ' ' and < '\x7f' and not '\\')
            {
                text.Append(c);
            }
            else
            {
                text.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}");
            }
        }

        return text.ToString();
    }

    private static void CheckCharacters(string path)
    {
        if (path.Length == 0)
        {
            throw Refuse("is empty", path);
        }

        if (path[0] == '/')
        {
            throw Refuse("is an absolute path", path);
        }

        if (path.Length >= 2 && path[1] == ':' && char.IsAsciiLetter(path[0]))
        {
            throw Refuse("starts with a drive letter", path);
        }

        foreach (var c in path)
        {
            if (c == '\\')
            {
                throw Refuse("has a backslash", path);
            }

            if (char.IsControl(c))
            {
                throw Refuse("has a control character", path);
            }
        }
    }

    private static RefusedException Refuse(string why, string name) => new("unsafe_entry_name", $"An entry's name {why}.", Escape(name));
}
