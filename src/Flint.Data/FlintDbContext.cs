using Flint.Data.Model;
using Flint.Data.Model.Configuration;
using Microsoft.EntityFrameworkCore;

namespace Flint.Data;

/// <summary>
/// The catalog, schedules, and what is read and removed of dead letters. Queue and history are plain ADO and are not in this model. Saving text that the databases cannot both keep as it is
/// (a NUL character, half a surrogate pair) throws <see cref="ArgumentException"/>, on every provider.
/// </summary>
public sealed class FlintDbContext(DbContextOptions<FlintDbContext> options) : DbContext(options)
{
    public DbSet<FunctionEntity> Functions => Set<FunctionEntity>();
    public DbSet<FunctionVersionEntity> FunctionVersions => Set<FunctionVersionEntity>();
    public DbSet<AliasEntity> Aliases => Set<AliasEntity>();
    public DbSet<CodeBlobEntity> CodeBlobs => Set<CodeBlobEntity>();
    public DbSet<ScheduleEntity> Schedules => Set<ScheduleEntity>();
    public DbSet<DeadLetterEntity> DeadLetters => Set<DeadLetterEntity>();

    public override int SaveChanges(bool acceptAllChangesOnSuccess)
    {
        RefuseUnstorableText();
        return base.SaveChanges(acceptAllChangesOnSuccess);
    }

    public override Task<int> SaveChangesAsync(bool acceptAllChangesOnSuccess, CancellationToken cancellationToken = default)
    {
        RefuseUnstorableText();
        return base.SaveChangesAsync(acceptAllChangesOnSuccess, cancellationToken);
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.ApplyConfiguration(new CodeBlobConfiguration());
        modelBuilder.ApplyConfiguration(new FunctionConfiguration());
        modelBuilder.ApplyConfiguration(new FunctionVersionConfiguration());
        modelBuilder.ApplyConfiguration(new AliasConfiguration());
        modelBuilder.ApplyConfiguration(new ScheduleConfiguration());
        modelBuilder.ApplyConfiguration(new DeadLetterConfiguration());
        ProviderConventions.Apply(modelBuilder, Database.IsSqlite());
    }

    private void RefuseUnstorableText()
    {
        foreach (var entry in ChangeTracker.Entries())
        {
            if (entry.State is not (EntityState.Added or EntityState.Modified))
            {
                continue;
            }

            foreach (var property in entry.Properties)
            {
                if (property.CurrentValue is string text && !StorableText.Is(text))
                {
                    throw new ArgumentException(
                        $"{entry.Metadata.DisplayName()}.{property.Metadata.Name} holds a NUL character or half a surrogate pair.");
                }
            }
        }
    }
}
