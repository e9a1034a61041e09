using System.Security.Cryptography;
using System.Text;

namespace Flint.Data.Migrations;

/// <summary>One numbered script. Scripts never change once released: their checksums are kept in the database and compared.</summary>
internal sealed record MigrationScript(int Version, string Name, string Sql)
{
    /// <summary>SHA-256 of the text with line ends made alike, so that a checkout's settings do not matter.</summary>
    public string Checksum { get; } =
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Sql.ReplaceLineEndings("\n"))));

    /// <summary>The embedded scripts of <c>Sqlite</c> or <c>Postgres</c>, numbered from 1 without gaps.</summary>
    public static IReadOnlyList<MigrationScript> Load(string provider)
    {
        var assembly = typeof(MigrationScript).Assembly;
        var scripts = assembly.GetManifestResourceNames()
            .Where(name => name.StartsWith(provider + "/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Select(name => Read(assembly, name, name[(provider.Length + 1)..]))
            .ToList();
        for (var i = 0; i < scripts.Count; i++)
        {
            if (scripts[i].Version != i + 1)
            {
                throw new InvalidOperationException($"Migrations of {provider} have a gap or a double at {scripts[i].Name}.");
            }
        }

        return scripts;
    }

    private static MigrationScript Read(System.Reflection.Assembly assembly, string resource, string name)
    {
        using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!, Encoding.UTF8);
        return new MigrationScript(int.Parse(name.AsSpan(0, 4), System.Globalization.CultureInfo.InvariantCulture), name, reader.ReadToEnd());
    }
}
