using System.Text;

namespace Flint.Server.Services;

/// <summary>What the variables of a function's or a job's environment may be.</summary>
internal static class EnvironmentRules
{
    /// <summary>Throws <see cref="RefusedException"/>, naming the variable.</summary>
    public static void Check(IReadOnlyDictionary<string, string> variables, int maxBytes)
    {
        var size = 0;
        foreach (var (name, value) in variables)
        {
            if (value is null || !IsVariable(name) || value.Contains('\0'))
            {
                throw new RefusedException("invalid_field",
                    "A variable's name is a letter or underscore, then letters, digits and underscores; its value is text without NUL.",
                    field: "environment." + Packages.EntryNames.Escape(name));
            }

            if (IsReserved(name))
            {
                throw new RefusedException("reserved_variable", "The runtime sets this variable itself.", field: "environment." + name);
            }

            size += Encoding.UTF8.GetByteCount(name) + Encoding.UTF8.GetByteCount(value);
        }

        if (size > maxBytes)
        {
            throw new RefusedException("environment_too_large", $"The environment's names and values have {size} bytes together.", field: "environment",
                limit: $"{maxBytes} bytes", knob: "Flint:Functions:MaxEnvironmentBytes");
        }
    }

    private static bool IsVariable(string name) =>
        name.Length > 0 && (char.IsAsciiLetter(name[0]) || name[0] == '_') && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_');

    /// <summary>Those that AWS Lambda reserves, and those that belong to Flint's bootstraps and launcher.</summary>
    private static bool IsReserved(string name) =>
        name.StartsWith("AWS_LAMBDA_", StringComparison.Ordinal) || name.StartsWith("FLINT_", StringComparison.Ordinal)
        || name is "_HANDLER" or "_X_AMZN_TRACE_ID" or "LAMBDA_TASK_ROOT" or "LAMBDA_RUNTIME_DIR" or "AWS_EXECUTION_ENV" or "LD_PRELOAD";
}
