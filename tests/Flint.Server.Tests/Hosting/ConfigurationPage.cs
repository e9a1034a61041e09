using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Flint.Server.Hosting;

namespace Flint.Server.Tests.Hosting;

/// <summary>Writes docs/configuration.md from the option types and their XML comments.</summary>
internal static partial class ConfigurationPage
{
    public static string Write()
    {
        var page = new StringBuilder("""
            # Configuration

            Made from the code's own comments; a test compares it. Every key can stand in `appsettings.json` in the working directory, in the environment
            (`Flint__Limits__MaxPayloadBytes=1000`), or on the command line (`--Flint:Limits:MaxPayloadBytes 1000`), the last of which wins. Lists are separated
            by commas. A key that does not exist, a value that does not parse or is out of range: the server does not start, names all of them, and ends with status 2.

            `--urls` says where the server listens, by default `http://127.0.0.1:8000`: loopback only, several separated by semicolons.

            """.ReplaceLineEndings("\n"));
        foreach (var (section, target) in FlintConfiguration.Defaults.Sections)
        {
            page.Append(CultureInfo.InvariantCulture, $"\n## {section}\n\n{Comment(target.GetType(), "T:" + target.GetType().FullName, "summary")}\n\n");
            page.Append("| key | meaning | default |\n|---|---|---|\n");
            foreach (var property in OptionsBinder.Options(target.GetType()))
            {
                var range = property.GetCustomAttribute<RangeAttribute>() is { } limits
                    ? string.Create(CultureInfo.InvariantCulture, $" Range {limits.Minimum} to {limits.Maximum}.")
                    : "";
                var name = $"P:{target.GetType().FullName}.{property.Name}";
                var source = Comment(target.GetType(), name, "remarks") is { Length: > 0 } remarks ? " " + remarks : "";
                var value = FlintConfiguration.Show(property.GetValue(target));
                page.Append(CultureInfo.InvariantCulture,
                    $"| `{property.Name}` | {Comment(target.GetType(), name, "summary")}{range}{source} | {(value.Length == 0 ? "" : $"`{value}`")} |\n");
            }
        }

        return page.ToString();
    }

    /// <summary>Every key that can be set.</summary>
    public static IEnumerable<string> Keys() => FlintConfiguration.Defaults.Sections
        .SelectMany(section => OptionsBinder.Options(section.Value.GetType()).Select(property => $"{section.Key}:{property.Name}"));

    private static string Comment(Type type, string member, string element)
    {
        var file = Path.ChangeExtension(type.Assembly.Location, ".xml");
        var found = XDocument.Load(file).Descendants("member").FirstOrDefault(node => node.Attribute("name")?.Value == member)?.Element(element);
        if (found is null)
        {
            return "";
        }

        foreach (var node in found.Descendants().ToArray())
        {
            node.ReplaceWith(node.Attribute("cref")?.Value is { } reference ? $"`{reference[(reference.LastIndexOf('.') + 1)..]}`" : $"`{node.Value}`");
        }

        return Spaces().Replace(found.Value, " ").Trim().Replace("|", "\\|", StringComparison.Ordinal);
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Spaces();
}
