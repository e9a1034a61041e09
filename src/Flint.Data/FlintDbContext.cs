using Flint.Data.Model;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data;

/// <summary>The catalog. Queue and history are plain ADO and are not in this model.</summary>
public sealed class FlintDbContext(DbContextOptions<FlintDbContext> options) : DbContext(options)
{
    public DbSet<FunctionEntity> Functions => Set<FunctionEntity>();
    public DbSet<FunctionVersionEntity> FunctionVersions => Set<FunctionVersionEntity>();
    public DbSet<AliasEntity> Aliases => Set<AliasEntity>();
    public DbSet<CodeBlobEntity> CodeBlobs => Set<CodeBlobEntity>();
}
