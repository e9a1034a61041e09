using System.Globalization;
using System.Text;
using Flint.Server.Services;

namespace Flint.Server.Packages;

/// <summary>One source file, named after the handler's module, as a package.</summary>
internal static class InlineCode
{
    public static byte[] Pack(string source, string runtime, string handler, PackagesOptions limits)
    {
        if (source.Length == 0)
        {
            throw new RefusedException("empty_code", "Inline code is empty.", field: "inline");
        }

        if (source.AsSpan().IndexOf('\0') >= 0 || !IsWellFormed(source))
        {
            throw new RefusedException("invalid_field", "Inline code has a NUL character or half a surrogate pair.", field: "inline");
        }

        var bytes = Encoding.UTF8.GetBytes(source);
        if (bytes.Length > limits.MaxInlineBytes)
        {
            throw new RefusedException("inline_too_large", $"Inline code has {bytes.Length} bytes; at most {limits.MaxInlineBytes} are taken.",
                field: "inline", limit: string.Create(CultureInfo.InvariantCulture, $"{limits.MaxInlineBytes} bytes"),
                knob: "Flint:Packages:MaxInlineBytes");
        }

        return StoredZip.Pack(FileName(source, runtime, handler), bytes);
    }

    /// <summary>
    /// <c>main.handler</c> makes main.py; <c>index.handler</c> index.js, or index.mjs when the source is an ES module, which Node.js
    /// decides by the name alone.
    /// </summary>
    public static string FileName(string source, string runtime, string handler)
    {
        if (Handlers.IsPython(runtime))
        {
            return Handlers.Module(runtime, handler).Replace('.', '/') + ".py";
        }

        return Handlers.Module(runtime, handler) + (EcmaScriptSyntax.IsModule(source) ? ".mjs" : ".js");
    }

    private static bool IsWellFormed(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i]))
            {
                continue;
            }

            if (i + 1 >= text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
            {
                return false;
            }

            i++;
        }

        return true;
    }
}
