using Flint.Data.Queue;
using Flint.Runtime.Invocation;
using Flint.Runtime.Loops;
using Flint.Runtime.Pooling;
using Flint.Server.Hosting;
using Flint.Server.Packages;
using Flint.Server.Services;

namespace Flint.Server.Queue.Workers;

/// <summary>Puts the worker together.</summary>
internal static class WorkerServices
{
    /// <summary>What every server has: who sees the workers and steers them.</summary>
    public static void AddWorkerViews(this IServiceCollection services)
    {
        services.AddSingleton(provider =>
        {
            var notices = new QueueNotices();
            notices.Ended += provider.GetRequiredService<FinishWaits>().Finished;
            provider.GetRequiredService<QueueWriter>().Committed += notices.Enqueued;
            return notices;
        });
        services.AddSingleton<FunctionQueues>();
        services.AddSingleton(provider => new WorkerService(provider.GetRequiredService<IQueueStore>(), provider.GetService<WorkerLease>()));
    }

    /// <summary>What takes work from the queue.</summary>
    public static void AddWorker(this IServiceCollection services, FlintConfiguration configuration)
    {
        services.AddSingleton(WorkerSettings.From(
            configuration.Worker, configuration.Roles.ToString(), Environment.ProcessorCount, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20, configuration.Database.UsesPostgres));
        services.AddSingleton<RunningItems>();
        services.AddSingleton<WorkerDetails>();
        services.AddSingleton(provider =>
        {
            var pools = provider.GetRequiredService<SandboxPools>();
            return new WorkerPlaces(provider.GetRequiredService<WorkerSettings>(), () => HostReading.Read(pools.Statistics().UnderPressure), provider.GetRequiredService<TimeProvider>());
        });
        services.AddSingleton(provider => new JobCode(
            provider.GetRequiredService<CodeCache>(), configuration.Worker, configuration.Flint.Packages, provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<JobCode>>()));
        services.AddRuns();
        services.AddLoops();
        services.AddHostedService<WorkerPlane>();
    }

    private static void AddRuns(this IServiceCollection services)
    {
        services.AddSingleton(provider => new JobRunner(
            provider.GetRequiredService<JobCode>(), provider.GetRequiredService<FunctionCatalog>(), provider.GetRequiredService<Dispatcher>().DispatchAsync,
            provider.GetRequiredService<DeliverAsync>(), provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<JobRunner>>()));
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<JobExecutor>(provider, Random.Shared));
    }

    private static void AddLoops(this IServiceCollection services)
    {
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<WorkerLease>(provider, (Func<string>)provider.GetRequiredService<WorkerDetails>().Json));
        services.AddSingleton(provider =>
        {
            var settings = provider.GetRequiredService<WorkerSettings>();
            return ActivatorUtilities.CreateInstance<JobProducer>(
                provider, new StartBucket(settings.StartsPerSecond, provider.GetRequiredService<TimeProvider>()), (Action<RunningItem>)provider.GetRequiredService<JobExecutor>().Begin);
        });
        services.AddSingleton<JobCompleter>();
        services.AddSingleton<Rescuer>();
        services.AddSingleton<Expirer>();
        services.AddSingleton<QueueTidier>();
        // Under their base too, for health. The worker plane starts and stops them.
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<WorkerLease>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<JobProducer>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<JobCompleter>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<Rescuer>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<Expirer>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<QueueTidier>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<JobCode>());
    }
}
