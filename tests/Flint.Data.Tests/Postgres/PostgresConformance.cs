using System.Data.Common;
using Flint.Data.Hosting;
using Flint.Data.Tests.Conformance;
using Npgsql;

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

public sealed class PostgresHistoryLimitTests(PostgresFixture server) : HistoryLimitConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override string RefuseResultsOf13Bytes =>
        "ALTER TABLE invocation_data ADD CONSTRAINT refuse CHECK (result IS NULL OR octet_length(result) <> 13)";

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);

    protected override async Task<DbConnection> ConnectAsync()
    {
        var connection = new NpgsqlConnection((await _target.OptionsAsync(Directory)).ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        return connection;
    }
}

public sealed class PostgresBlobTests(PostgresFixture server) : BlobConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);
}

public sealed class PostgresQueueTests(PostgresFixture server) : QueueConformance
{
    private readonly PostgresTarget _target = new(server);

    protected override string Past => "'2000-01-01'";

    protected override Task<DatabaseOptions> OptionsAsync() => _target.OptionsAsync(Directory);

    protected override async Task<DbConnection> ConnectAsync()
    {
        var connection = new NpgsqlConnection((await _target.OptionsAsync(Directory)).ConnectionString + ";Pooling=false");
        await connection.OpenAsync();
        return connection;
    }
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
