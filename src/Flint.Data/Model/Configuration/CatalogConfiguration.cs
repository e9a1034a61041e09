using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Flint.Data.Model.Configuration;

internal sealed class FunctionConfiguration : IEntityTypeConfiguration<FunctionEntity>
{
    public void Configure(EntityTypeBuilder<FunctionEntity> builder)
    {
        builder.ToTable("functions");
        builder.HasKey(function => new { function.TenantId, function.Id });
        builder.HasIndex(function => new { function.TenantId, function.Name }).IsUnique().HasDatabaseName("ux_functions_name");
        builder.Property(function => function.RevisionId).IsConcurrencyToken();
        builder.HasOne<CodeBlobEntity>().WithMany().HasForeignKey(function => new { function.TenantId, function.CodeSha256 })
            .OnDelete(DeleteBehavior.ClientNoAction);
        builder.HasIndex(function => new { function.TenantId, function.CodeSha256 }).HasDatabaseName("ix_functions_code");
    }
}

internal sealed class FunctionVersionConfiguration : IEntityTypeConfiguration<FunctionVersionEntity>
{
    public void Configure(EntityTypeBuilder<FunctionVersionEntity> builder)
    {
        builder.ToTable("function_versions");
        builder.HasKey(version => new { version.TenantId, version.FunctionId, version.Number });
        builder.Property(version => version.Number).ValueGeneratedNever();
        builder.HasOne<FunctionEntity>().WithMany().HasForeignKey(version => new { version.TenantId, version.FunctionId })
            .OnDelete(DeleteBehavior.Cascade);
        builder.HasOne<CodeBlobEntity>().WithMany().HasForeignKey(version => new { version.TenantId, version.CodeSha256 })
            .OnDelete(DeleteBehavior.ClientNoAction);
        builder.HasIndex(version => new { version.TenantId, version.CodeSha256 }).HasDatabaseName("ix_function_versions_code");
    }
}

internal sealed class AliasConfiguration : IEntityTypeConfiguration<AliasEntity>
{
    public void Configure(EntityTypeBuilder<AliasEntity> builder)
    {
        builder.ToTable("aliases");
        builder.HasKey(alias => new { alias.TenantId, alias.FunctionId, alias.Name });
        builder.Property(alias => alias.RevisionId).IsConcurrencyToken();
        builder.HasOne<FunctionEntity>().WithMany().HasForeignKey(alias => new { alias.TenantId, alias.FunctionId })
            .OnDelete(DeleteBehavior.Cascade);
        builder.HasOne<FunctionVersionEntity>().WithMany()
            .HasForeignKey(alias => new { alias.TenantId, alias.FunctionId, alias.VersionNumber })
            .OnDelete(DeleteBehavior.ClientNoAction);
        builder.HasIndex(alias => new { alias.TenantId, alias.FunctionId, alias.VersionNumber }).HasDatabaseName("ix_aliases_version");
    }
}

internal sealed class CodeBlobConfiguration : IEntityTypeConfiguration<CodeBlobEntity>
{
    public void Configure(EntityTypeBuilder<CodeBlobEntity> builder)
    {
        builder.ToTable("code_blobs");
        builder.HasKey(blob => new { blob.TenantId, blob.Sha256 });
    }
}
