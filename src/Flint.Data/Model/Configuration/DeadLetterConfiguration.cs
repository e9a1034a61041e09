using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Flint.Data.Model.Configuration;

internal sealed class DeadLetterConfiguration : IEntityTypeConfiguration<DeadLetterEntity>
{
    public void Configure(EntityTypeBuilder<DeadLetterEntity> builder)
    {
        builder.ToTable("dead_letters");
        builder.HasKey(letter => new { letter.TenantId, letter.List, letter.Id });
        builder.HasIndex(letter => new { letter.TenantId, letter.Id }).HasDatabaseName("ix_dead_letters_invocation");
        builder.Property(letter => letter.Id).ValueGeneratedNever();
    }
}
