namespace Flint.Data.Migrations;

/// <summary>A row of schema_version.</summary>
internal readonly record struct AppliedMigration(int Version, string Name, string Checksum);

/// <summary>Decides what is to be run; knows no database.</summary>
internal static class MigrationPlan
{
    /// <summary>
    /// The scripts that <paramref name="applied"/> (in order) lacks. Throws <see cref="SchemaException"/> when the database is newer than
    /// <paramref name="known"/>, or its scripts were others.
    /// </summary>
    public static IReadOnlyList<MigrationScript> Pending(
        string database, IReadOnlyList<MigrationScript> known, IReadOnlyList<AppliedMigration> applied)
    {
        if (applied.Count > 0 && applied[^1].Version > known.Count)
        {
            throw new SchemaException(
                $"{database} has schema version {applied[^1].Version}, but this Flint knows versions up to {known.Count}. " +
                "It was used by a newer Flint: run that one, or restore a backup made before the upgrade.");
        }

        for (var i = 0; i < applied.Count; i++)
        {
            if (applied[i].Version != i + 1)
            {
                throw new SchemaException($"{database} lacks migration {i + 1} in its schema_version table, though later ones ran. Restore a backup.");
            }

            if (applied[i].Checksum != known[i].Checksum)
            {
                throw new SchemaException(
                    $"{database} was made by another text of migration {known[i].Name} (checksum {applied[i].Checksum[..12]}, here {known[i].Checksum[..12]}). " +
                    "Released migrations never change: run the Flint that made it.");
            }
        }

        return known.Skip(applied.Count).ToList();
    }
}
