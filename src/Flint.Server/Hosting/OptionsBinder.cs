using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;

namespace Flint.Server.Hosting;

/// <summary>
/// Binds a configuration section to an options object, strictly: every key must be a property, every value must parse and be in range, and
/// all problems are reported, not the first one.
/// </summary>
/// <param name="sections">The objects to fill, by path (<c>Flint:Limits</c>).</param>
/// <param name="secrets">Paths whose values are not quoted in problems.</param>
internal sealed class OptionsBinder(IReadOnlyDictionary<string, object> sections, IReadOnlySet<string> secrets)
{
    private readonly List<string> _problems = [];

    public IReadOnlyList<string> Problems => _problems;

    public void Bind(IConfigurationSection section)
    {
        var target = sections[Key(section.Path)];
        var properties = Options(target.GetType());
        foreach (var child in section.GetChildren())
        {
            if (sections.Keys.Contains(child.Path, StringComparer.OrdinalIgnoreCase))
            {
                if (child.Value is { Length: > 0 })
                {
                    _problems.Add($"{child.Path}: is a section, not a value.");
                    continue;
                }

                Bind(child);
            }
            else if (properties.FirstOrDefault(p => p.Name.Equals(child.Key, StringComparison.OrdinalIgnoreCase)) is { } property)
            {
                BindValue(child, property, target);
            }
            else
            {
                _problems.Add($"{child.Path}: no such option. {section.Path} has: {string.Join(", ", Known(section.Path, properties))}.");
            }
        }
    }

    /// <summary>The options of a type: what can be set, but for Flint:Database's copy of Flint:DataPath.</summary>
    public static IReadOnlyList<PropertyInfo> Options(Type type) =>
        [.. type.GetProperties().Where(p => p is { CanRead: true, CanWrite: true } && (type == typeof(FlintOptions) || p.Name != nameof(FlintOptions.DataPath))
            && (!p.PropertyType.IsClass || p.PropertyType == typeof(string) || p.PropertyType == typeof(string[]) || IsMap(p.PropertyType)))];

    private static bool IsMap(Type type) => type == typeof(Dictionary<string, string>);

    private string Key(string path) => sections.Keys.First(key => key.Equals(path, StringComparison.OrdinalIgnoreCase));

    private IEnumerable<string> Known(string path, IReadOnlyList<PropertyInfo> properties) =>
        properties.Select(p => p.Name)
            .Concat(sections.Keys.Where(key => key.Length > path.Length && key.StartsWith(path + ":", StringComparison.OrdinalIgnoreCase))
                .Select(key => key[(path.Length + 1)..].Split(':')[0]))
            .Distinct();

    private void BindValue(IConfigurationSection child, PropertyInfo property, object target)
    {
        var isList = property.PropertyType == typeof(string[]);
        var nested = child.GetChildren().ToArray();
        if (IsMap(property.PropertyType))
        {
            property.SetValue(target, nested.ToDictionary(item => item.Key, item => item.Value ?? "", StringComparer.Ordinal));
            return;
        }

        if (nested.Length > 0 && !isList)
        {
            _problems.Add($"{child.Path}: is a value, not a section.");
            return;
        }

        object? value;
        if (isList)
        {
            value = nested.Length > 0
                ? nested.Select(item => item.Value ?? "").ToArray()
                : (child.Value ?? "").Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        }
        else if (!TryParse(property.PropertyType, child.Value ?? "", out value))
        {
            var shown = secrets.Contains(child.Path) ? "the value" : $"'{child.Value}'";
            _problems.Add($"{child.Path}: {shown} is not {Describe(property.PropertyType)}.");
            return;
        }

        if (Check(property, value) is { } problem)
        {
            _problems.Add($"{child.Path}: {problem}");
            return;
        }

        property.SetValue(target, value);
    }

    private static bool TryParse(Type type, string text, out object? value)
    {
        var culture = CultureInfo.InvariantCulture;
        value = null;
        if (type == typeof(string))
        {
            value = text;
        }
        else if (type == typeof(int) && int.TryParse(text, NumberStyles.AllowLeadingSign, culture, out var number))
        {
            value = number;
        }
        else if (type == typeof(long) && long.TryParse(text, NumberStyles.AllowLeadingSign, culture, out var large))
        {
            value = large;
        }
        else if (type == typeof(double) && double.TryParse(text, NumberStyles.Float, culture, out var real) && double.IsFinite(real))
        {
            value = real;
        }
        else if (type == typeof(bool) && bool.TryParse(text, out var flag))
        {
            value = flag;
        }
        else if (type == typeof(TimeSpan) && text.Contains(':') && TimeSpan.TryParse(text, culture, out var span))
        {
            value = span;
        }
        else if (type.IsEnum && text.Length > 0 && char.IsLetter(text[0]) && Enum.TryParse(type, text, ignoreCase: true, out var word) && Enum.IsDefined(type, word!))
        {
            value = word;
        }
        else if (Nullable.GetUnderlyingType(type) is { } inner)
        {
            return text.Length == 0 || TryParse(inner, text, out value);
        }

        return value is not null;
    }

    public static string Describe(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type switch
        {
            _ when type == typeof(int) || type == typeof(long) => "a whole number",
            _ when type == typeof(double) => "a number",
            _ when type == typeof(bool) => "true or false",
            _ when type == typeof(TimeSpan) => "a time such as 00:00:30 or 7.00:00:00",
            _ when type == typeof(string[]) => "a list",
            { IsEnum: true } => "one of " + string.Join(", ", Enum.GetNames(type)),
            _ => "text",
        };
    }

    private static string? Check(PropertyInfo property, object? value)
    {
        if (property.GetCustomAttribute<RangeAttribute>() is { } range && value is not null && !range.IsValid(value))
        {
            return string.Create(CultureInfo.InvariantCulture, $"{value} is out of range; {range.Minimum} to {range.Maximum}.");
        }

        if (property.IsDefined(typeof(RequiredAttribute)) && value is "")
        {
            return "must not be empty.";
        }

        return null;
    }
}
