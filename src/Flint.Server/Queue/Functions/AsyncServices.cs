using Flint.Data.Queue;
using Flint.Runtime.Loops;
using Flint.Server.Hosting;
using Flint.Server.Queue.DeadLetters;
using Flint.Server.Queue.Destinations;
using Flint.Server.Queue.Schedules;
using Flint.Server.Queue.Workers;

namespace Flint.Server.Queue.Functions;

/// <summary>Asynchronous invocations, what follows from them, and schedules.</summary>
internal static class AsyncServices
{
    public static void AddAsync(this IServiceCollection services, FlintOptions options)
    {
        services.AddSingleton(options.Schedules);
        services.AddSingleton(options.Webhooks);
        services.AddSingleton<WebhookAddresses>();
        services.AddSingleton<AsyncSettingsRules>();
        services.AddSingleton<AsyncInvocations>();
        services.AddSingleton<DeadLetterService>();
        services.AddSingleton<WebhookDelivery>();
        services.AddSingleton<DestinationService>();
        services.AddSingleton<DeliverAsync>(provider => provider.GetRequiredService<WebhookDelivery>().DeliverAsync);
        services.AddSingleton<FollowUp>(provider => provider.GetRequiredService<DestinationService>().FollowAsync);
        services.AddSingleton<ScheduleRules>();
        services.AddSingleton<ScheduleTargets>();
        services.AddSingleton<ScheduleTicker>();
        services.AddSingleton<ScheduleService>();
        if (services.Any(service => service.ServiceType == typeof(IQueueStore)))
        {
            services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<ScheduleTicker>());
            services.AddHostedService(provider => provider.GetRequiredService<ScheduleTicker>());
        }
    }
}
