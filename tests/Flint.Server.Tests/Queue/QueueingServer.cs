using Flint.Data.Queue;
using Flint.TestKit.Time;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

namespace Flint.Server.Tests.Queue;

/// <summary>A server whose queue only records, and whose loops do not run by themselves.</summary>
internal static class QueueingServer
{
    public static Task<TestServer> StartAsync(RecordingQueue queue, TimeProvider? time = null, string? dataPath = null, params string[] args) => TestServer.StartAsync(
        dataPath: dataPath, time: time, args: args, services: services =>
        {
            services.RemoveAll<IQueueStore>();
            services.AddSingleton<IQueueStore>(queue);
            foreach (var loop in services.Where(service => service.ServiceType == typeof(IHostedService) && service.ImplementationType?.Name == "WorkerPlane").ToArray())
            {
                services.Remove(loop);
            }
        });

    /// <summary>Noon, and still.</summary>
    public static ManualTimeProvider Noon()
    {
        var time = new ManualTimeProvider();
        time.Advance(TimeSpan.FromHours(12));
        return time;
    }
}
