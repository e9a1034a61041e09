using Flint.Contracts;
using Flint.Data.Blobs;
using Flint.Data.Catalog;
using Flint.Data.Hosting;
using Flint.Engines.Native;
using Flint.Runtime.Hosting;
using Flint.Runtime.Loops;
using Flint.Server.Api;
using Flint.Server.Observability;
using Flint.Server.Packages;
using Flint.Server.Queue;
using Flint.Server.Queue.Functions;
using Flint.Server.Queue.Jobs;
using Flint.Server.Queue.Workers;
using Flint.Server.Security;
using Flint.Server.Services;
using Microsoft.Extensions.Options;

namespace Flint.Server.Hosting;

/// <summary>Puts the server together, part by part.</summary>
internal static class ServerServices
{
    public static void AddFlint(this IServiceCollection services, FlintConfiguration configuration)
    {
        services.AddSingleton(TimeProvider.System);
        services.AddSingleton(configuration);
        services.AddSingleton(configuration.Flint.Functions);
        services.AddSingleton(configuration.Flint.Http);
        services.AddSingleton(configuration.Flint.History);
        services.AddSingleton(configuration.Flint.Packages);
        services.AddSingleton(configuration.Flint.Jobs);
        services.AddSingleton(configuration.Flint.Queue);
        services.AddSingleton(configuration.Limits);
        services.AddSingleton(Options.Create(configuration.Limits));
        services.AddSingleton(Options.Create(configuration.Sandbox));
        services.AddFlintData(configuration.Database);
        services.AddFlintRuntime();
        services.AddNativeEngine(provider => new NativeEngineSettings(
            configuration.Native, provider.GetRequiredService<CodeCache>().Root, configuration.Sandbox.AllowUnenforced)
        {
            Egress = configuration.Egress,
            AnswersInline = SocketThreads.AreInline,
        });
        services.AddFunctions(configuration);
        services.AddJobs();
        services.AddAsync(configuration.Flint);
        services.AddWorkerViews();
        if (configuration.Roles.HasWorker && services.Any(service => service.ServiceType == typeof(Data.Queue.IQueueStore)))
        {
            services.AddWorker(configuration);
        }

        services.AddHttpApi(configuration);
    }

    private static void AddFunctions(this IServiceCollection services, FlintConfiguration configuration)
    {
        services.AddSingleton(provider => new CodeCache(
            configuration.Flint.DataPath, provider.GetRequiredService<IBlobStore>(), configuration.Flint.Packages,
            provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<CodeCache>>()));
        services.AddSingleton<EngineDirectory>();
        services.AddSingleton<EngineReports>();
        services.AddSingleton<FunctionRules>();
        services.AddSingleton<PackageService>();
        services.AddSingleton(provider => new FunctionCatalog(
            provider.GetRequiredService<ICatalogStore>(), provider.GetRequiredService<CodeCache>(),
            provider.GetRequiredService<TimeProvider>(),
            configuration.Database.UsesPostgres ? TimeSpan.FromSeconds(1) : Timeout.InfiniteTimeSpan));
        services.AddSingleton<FunctionService>();
        services.AddSingleton<VersionService>();
        services.AddSingleton<AliasService>();
        services.AddSingleton<JsonBuffers>();
        services.AddSingleton<InvocationRows>();
        services.AddSingleton<InvocationService>();
        services.AddSingleton<InvocationHistory>();
        services.AddSingleton<HistoryPruner>();
        services.AddSingleton<CodePruner>();
        services.AddHostedService<JournalCloser>();
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<HistoryPruner>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<CodePruner>());
        services.AddHostedService(provider => provider.GetRequiredService<HistoryPruner>());
        services.AddHostedService(provider => provider.GetRequiredService<CodePruner>());
    }

    private static void AddJobs(this IServiceCollection services)
    {
        services.AddSingleton<InvocationIds>();
        services.AddSingleton<QueueWriter>();
        services.AddSingleton<QueueRoom>();
        services.AddSingleton<FinishWaits>();
        services.AddSingleton<JobRequestReader>();
        services.AddSingleton<JobPackages>();
        services.AddSingleton<JobRules>();
        services.AddSingleton<JobService>();
        services.AddSingleton<JobLists>();
    }

    private static void AddHttpApi(this IServiceCollection services, FlintConfiguration configuration)
    {
        services.AddSingleton(new RequestProtection(configuration.Flint.Http.AllowedHosts));
        services.AddSingleton<BodyBudget>();
        services.AddSingleton<UploadGate>();
        services.AddSingleton<HealthService>();
        services.ConfigureHttpJsonOptions(options => options.SerializerOptions.TypeInfoResolverChain.Insert(0, FlintJson.Default));
        services.AddApiDocument();
    }
}
