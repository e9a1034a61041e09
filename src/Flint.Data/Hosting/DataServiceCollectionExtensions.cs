using Flint.Data.Blobs;
using Flint.Data.Catalog;
using Flint.Data.Invocations;
using Flint.Data.Postgres;
using Flint.Data.Queue;
using Flint.Data.Sqlite;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Flint.Data.Hosting;

public static class DataServiceCollectionExtensions
{
    /// <summary>
    /// Registers, as singletons: <see cref="IDatabase"/> (await its MigrateAsync before the rest is used), <see cref="ICatalogStore"/>, <see cref="IBlobStore"/>,
    /// <see cref="IInvocationStore"/>, <see cref="IQueueStore"/>, <see cref="QueueNotices"/> and <see cref="InvocationJournal"/>. The provider must be disposed asynchronously, which
    /// writes what is buffered.
    /// Throws <see cref="ArgumentException"/> with all problems of invalid options.
    /// </summary>
    public static IServiceCollection AddFlintData(this IServiceCollection services, DatabaseOptions options)
    {
        if (options.Validate() is { Count: > 0 } problems)
        {
            throw new ArgumentException(string.Join(Environment.NewLine, problems), nameof(options));
        }

        services.TryAddSingleton(TimeProvider.System);
        if (options.UsesPostgres)
        {
            AddPostgres(services, options);
        }
        else
        {
            AddSqlite(services, options);
        }

        services.AddSingleton(provider => new InvocationJournal(
            provider.GetRequiredService<IInvocationStore>(),
            JournalOptions(options),
            provider.GetRequiredService<TimeProvider>(),
            Loggers(provider).CreateLogger<InvocationJournal>()));
        return services;
    }

    private static void AddSqlite(IServiceCollection services, DatabaseOptions options)
    {
        services.AddSingleton(provider => new SqliteDatabase(
            options, provider.GetRequiredService<TimeProvider>(), Loggers(provider)));
        services.AddSingleton<IDatabase>(provider => provider.GetRequiredService<SqliteDatabase>());
        services.AddSingleton<ICatalogStore, SqliteCatalogStore>();
        services.AddSingleton<IInvocationStore, SqliteInvocationStore>();
        services.AddSingleton<IQueueStore, SqliteQueueStore>();
        services.AddSingleton<QueueNotices>();
        services.AddSingleton<IBlobStore>(provider => new FileBlobStore(options.DataPath, provider.GetRequiredService<TimeProvider>()));
    }

    private static void AddPostgres(IServiceCollection services, DatabaseOptions options)
    {
        services.AddSingleton(provider => new PostgresDatabase(options, provider.GetRequiredService<TimeProvider>(), Loggers(provider)));
        services.AddSingleton<IDatabase>(provider => provider.GetRequiredService<PostgresDatabase>());
        services.AddSingleton<ICatalogStore, PostgresCatalogStore>();
        services.AddSingleton<IInvocationStore, PostgresInvocationStore>();
        services.AddSingleton<IQueueStore>(provider => new PostgresQueueStore(
            provider.GetRequiredService<PostgresDatabase>(), provider.GetRequiredService<TimeProvider>(), Loggers(provider)));
        services.TryAddSingleton(new PostgresNoticeOptions());
        services.AddSingleton(provider => new PostgresNotices(
            provider.GetRequiredService<PostgresDatabase>(), options, provider.GetRequiredService<PostgresNoticeOptions>(),
            provider.GetRequiredService<TimeProvider>(), Loggers(provider)));
        services.AddSingleton(provider => provider.GetRequiredService<PostgresNotices>().Hub);
        services.AddSingleton<IBlobStore, PostgresBlobStore>();
    }

    private static ILoggerFactory Loggers(IServiceProvider provider) => provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance;

    private static JournalOptions JournalOptions(DatabaseOptions options) => new()
    {
        Window = TimeSpan.FromMilliseconds(options.JournalWindowMs),
        MaxRows = options.JournalMaxRows,
        MaxBytes = options.JournalMaxBytes,
        ShutdownTimeout = TimeSpan.FromMilliseconds(options.ShutdownFlushMs),
    };
}
