using Flint.Data.Hosting;
using Flint.Data.Tests.Conformance;

namespace Flint.Data.Tests.Postgres;

public sealed class PostgresCatalogTests(PostgresFixture server) : CatalogConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);
}

public sealed class PostgresInvocationTests(PostgresFixture server) : InvocationConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);
}

public sealed class PostgresRetentionTests(PostgresFixture server) : RetentionConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);
}

public sealed class PostgresBlobTests(PostgresFixture server) : BlobConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);
}

/// <summary>One test's database: created at the first use, the same afterwards.</summary>
internal sealed class PostgresTarget(PostgresFixture server)
{
    private string? _connectionString;

    public async Task<DatabaseOptions> OptionsAsync(TempDirectory directory)
    {
        _connectionString ??= await server.CreateDatabaseAsync();
        return new DatabaseOptions { DataPath = directory.Path, ConnectionString = _connectionString };
    }
}
