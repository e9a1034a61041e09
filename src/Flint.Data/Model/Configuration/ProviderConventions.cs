using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace Flint.Data.Model.Configuration;

/// <summary>
/// What all entities share: snake_case columns, and times in whole milliseconds of UTC (SQLite: unix milliseconds; PostgreSQL: timestamptz),
/// so that a time reads back alike from both providers; ids as the queue and history keep them.
/// </summary>
internal static class ProviderConventions
{
    public static void Apply(ModelBuilder builder, bool sqlite)
    {
        foreach (var property in builder.Model.GetEntityTypes().SelectMany(entity => entity.GetProperties()))
        {
            property.SetColumnName(ToSnakeCase(property.Name));
            if ((Nullable.GetUnderlyingType(property.ClrType) ?? property.ClrType) == typeof(DateTimeOffset))
            {
                property.SetValueConverter(sqlite ? new UnixMilliseconds() : new UtcMilliseconds());
            }
            else if (sqlite && property.ClrType == typeof(Guid))
            {
                property.SetValueConverter(new BigEndian());
            }
        }
    }

    internal static string ToSnakeCase(string name)
    {
        var text = new StringBuilder(name.Length + 4);
        for (var i = 0; i < name.Length; i++)
        {
            if (i > 0 && char.IsAsciiLetterUpper(name[i]))
            {
                text.Append('_');
            }

            text.Append(char.ToLowerInvariant(name[i]));
        }

        return text.ToString();
    }

    private sealed class UnixMilliseconds() : ValueConverter<DateTimeOffset, long>(
        time => time.ToUnixTimeMilliseconds(), value => DateTimeOffset.FromUnixTimeMilliseconds(value));

    /// <summary>The bytes' order is the id's.</summary>
    private sealed class BigEndian() : ValueConverter<Guid, byte[]>(id => id.ToByteArray(true), bytes => new Guid(bytes, true));

    private sealed class UtcMilliseconds() : ValueConverter<DateTimeOffset, DateTimeOffset>(
        time => DateTimeOffset.FromUnixTimeMilliseconds(time.ToUnixTimeMilliseconds()), value => value.ToUniversalTime());
}
