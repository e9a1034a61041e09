using Flint.Data.Hosting;
using Flint.Data.Tests.Conformance;

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

public sealed class SqliteBlobTests : BlobConformance
{
    protected override Task<DatabaseOptions> OptionsAsync() => Task.FromResult(new DatabaseOptions { DataPath = Directory.File("data") });
}
