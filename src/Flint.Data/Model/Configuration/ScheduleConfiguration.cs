using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Metadata.Builders;

namespace Flint.Data.Model.Configuration;

internal sealed class ScheduleConfiguration : IEntityTypeConfiguration<ScheduleEntity>
{
    public void Configure(EntityTypeBuilder<ScheduleEntity> builder)
    {
        builder.ToTable("schedules");
        builder.HasKey(schedule => new { schedule.TenantId, schedule.Id });
        builder.HasIndex(schedule => new { schedule.TenantId, schedule.Name }).IsUnique().HasDatabaseName("ux_schedules_name");
        builder.HasIndex(schedule => schedule.NextAt).HasDatabaseName("ix_schedules_due");
        builder.Property(schedule => schedule.RevisionId).IsConcurrencyToken();
    }
}
