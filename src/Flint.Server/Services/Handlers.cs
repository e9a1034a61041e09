using System.Text.RegularExpressions;

namespace Flint.Server.Services;

/// <summary>What a handler's name may be, by language, as AWS Lambda's runtimes read it.</summary>
internal static partial class Handlers
{
    public const int MaxLength = 128;

    public static bool IsPython(string runtime) => runtime.StartsWith("python", StringComparison.Ordinal);

    public static bool IsNode(string runtime) => runtime.StartsWith("nodejs", StringComparison.Ordinal);

    /// <summary>Throws <see cref="RefusedException"/> (<c>invalid_handler</c>) unless the name can mean a function of a module in the package.</summary>
    public static void Check(string runtime, string handler)
    {
        var valid = handler.Length is > 0 and <= MaxLength
            && (IsPython(runtime) ? Python().IsMatch(handler) : !IsNode(runtime) || Node().IsMatch(handler));
        if (!valid || handler.Split('/').Any(part => part is "." or ".." || part.StartsWith("..", StringComparison.Ordinal)))
        {
            throw new RefusedException("invalid_handler",
                IsNode(runtime)
                    ? "A handler is file.function, such as index.handler or src/app.handler: a path inside the package without its extension, a dot, and the exported name."
                    : "A handler is module.function, such as main.handler or app/main.handler: a module inside the package, a dot, and the function's name.",
                field: "handler", limit: $"{MaxLength} characters");
        }
    }

    /// <summary>The module's part: for Python up to the last dot, for Node.js up to the first dot of the last path component.</summary>
    public static string Module(string runtime, string handler)
    {
        if (IsNode(runtime))
        {
            var name = handler.LastIndexOf('/') + 1;
            return handler[..handler.IndexOf('.', name)];
        }

        return handler[..handler.LastIndexOf('.')];
    }

    [GeneratedRegex(@"^(?:[A-Za-z0-9_-]+[/.])*[A-Za-z0-9_-]+\.[A-Za-z_][A-Za-z0-9_]*\z")]
    private static partial Regex Python();

    [GeneratedRegex(@"^(?:[A-Za-z0-9_@.-]+/)*[A-Za-z0-9_@-]+(?:\.[A-Za-z_$][A-Za-z0-9_$]*)+\z")]
    private static partial Regex Node();
}
