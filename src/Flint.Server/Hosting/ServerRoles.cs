namespace Flint.Server.Hosting;

/// <summary>What a server does (<c>Flint:Roles</c>).</summary>
/// <param name="HasApi">It answers the API's requests.</param>
/// <param name="HasWorker">It runs what is queued.</param>
internal sealed record ServerRoles(bool HasApi, bool HasWorker)
{
    public const string Api = "api";
    public const string Worker = "worker";

    public static ServerRoles Of(IReadOnlyList<string> names) => new(names.Contains(Api), names.Contains(Worker));

    /// <summary>What is wrong with the names; nothing when they can be used.</summary>
    public static IEnumerable<string> Problems(IReadOnlyList<string> names, bool shared)
    {
        if (names.Count == 0 || names.Any(name => name is not (Api or Worker)))
        {
            yield return $"Flint:Roles is '{string.Join(',', names)}'; it must name {Api}, {Worker} or both.";
        }
        else if (!names.Contains(Worker) && !shared)
        {
            yield return "Flint:Roles is 'api'; with SQLite no other process can share the database, so that nothing would ever run what is queued. Add worker, or use PostgreSQL (Flint:Database:ConnectionString).";
        }
    }

    /// <summary>Comma-separated, as workers tell of themselves.</summary>
    public override string ToString() => string.Join(',', new[] { HasApi ? Api : null, HasWorker ? Worker : null }.OfType<string>());
}
