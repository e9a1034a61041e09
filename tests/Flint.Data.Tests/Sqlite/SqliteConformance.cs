using System.Data.Common;
using Flint.Data.Hosting;
using Flint.Data.Tests.Conformance;
using Microsoft.Data.Sqlite;

namespace Flint.Data.Tests.Sqlite;

public sealed class SqliteCatalogTests : CatalogConformance
{
    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });
}

public sealed class SqliteInvocationTests : InvocationConformance
{
    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });
}

public sealed class SqliteRetentionTests : RetentionConformance
{
    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });
}

public sealed class SqliteHistoryLimitTests : HistoryLimitConformance
{
    protected override string RefuseResultsOf13Bytes => """
        CREATE TRIGGER refuse BEFORE INSERT ON invocation_data WHEN length(NEW.result) = 13 BEGIN SELECT RAISE(ABORT, 'unlucky'); END
        """;

    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });

    protected override async Task<DbConnection> ConnectAsync()
    {
        var connection = new SqliteConnection($"Data Source={Directory.File("data")}/flint.db;Pooling=False");
        await connection.OpenAsync();
        return connection;
    }
}

public sealed class SqliteBlobTests : BlobConformance
{
    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });
}

public sealed class SqliteQueueTests : QueueConformance
{
    protected override string Past => "1";

    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });

    protected override async Task<DbConnection> ConnectAsync()
    {
        var connection = new SqliteConnection($"Data Source={Directory.File("data")}/flint.db;Pooling=False");
        await connection.OpenAsync();
        return connection;
    }
}
