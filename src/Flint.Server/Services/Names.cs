using System.Text.RegularExpressions;

namespace Flint.Server.Services;

/// <summary>What functions, aliases and schedules may be called.</summary>
internal static partial class Names
{
    public const string Latest = "$LATEST";

    public static string CheckFunction(string? name) =>
        name is not null && Function().IsMatch(name)
            ? name
            : throw new RefusedException(name is null ? "missing_field" : "invalid_name",
                "A function's name is 1 to 64 of letters, digits, - and _.", field: "name", limit: "64 characters");

    public static string CheckSchedule(string? name) =>
        name is not null && Function().IsMatch(name)
            ? name
            : throw new RefusedException(name is null ? "missing_field" : "invalid_name",
                "A schedule's name is 1 to 64 of letters, digits, - and _.", field: "name", limit: "64 characters");

    public static string CheckAlias(string? name) =>
        name is not null && Alias().IsMatch(name)
            ? name
            : throw new RefusedException(name is null ? "missing_field" : "invalid_name",
                "An alias's name is 1 to 128 of letters, digits, - and _, and not digits alone, which mean a version.", field: "name", limit: "128 characters");

    /// <summary><c>$LATEST</c>, a version's number or an alias.</summary>
    public static void CheckQualifier(string qualifier)
    {
        if (qualifier != Latest && !IsVersion(qualifier) && !Alias().IsMatch(qualifier))
        {
            throw new RefusedException("invalid_qualifier", "A qualifier is $LATEST, a version's number or an alias's name.", field: "qualifier");
        }
    }

    public static bool IsVersion(string text) => text.Length is > 0 and <= 9 && text[0] != '0' && text.All(char.IsAsciiDigit);

    [GeneratedRegex(@"^[a-zA-Z0-9_-]{1,64}\z")]
    private static partial Regex Function();

    [GeneratedRegex(@"^(?![0-9]+\z)[a-zA-Z0-9_-]{1,128}\z")]
    private static partial Regex Alias();
}
