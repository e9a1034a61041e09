using Flint.Data;
using Flint.Server.Api;
using Flint.Server.Packages;
using Flint.Server.Queue.Workers;
using Flint.Server.Security;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Flint.Server.Hosting;

/// <summary>Builds, starts and stops the server. Start: configuration, schema, code cache, engines and loops, then the listening socket.</summary>
internal static partial class ServerHost
{
    private static readonly TimeSpan StopMargin = TimeSpan.FromSeconds(20);

    /// <summary>Throws <see cref="ConfigurationException"/>. <paramref name="customise"/> is for tests: it runs after all is registered.</summary>
    public static WebApplication Build(string[] args, Action<WebApplicationBuilder>? customise = null)
    {
        // Settings are read once. Watching for changes would cost a wake-up per write of the database, which is below the watched directory.
        var builder = WebApplication.CreateSlimBuilder([.. args, "--hostBuilder:reloadConfigOnChange=false"]);
        var configuration = FlintConfiguration.Read(builder.Configuration);
        builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
        builder.Logging.AddFilter("Microsoft.AspNetCore", LogLevel.Warning);
        // It has nothing to say above Information, but would make a trace and a scope for every request.
        builder.Logging.AddFilter("Microsoft.AspNetCore.Hosting.Diagnostics", LogLevel.None);
        builder.Logging.AddFilter("Microsoft.EntityFrameworkCore", LogLevel.Warning);
        builder.WebHost.ConfigureKestrel(kestrel => Configure(kestrel, configuration.Flint.Http));
        // The transport would hand requests to the thread pool by itself otherwise.
        builder.WebHost.UseSockets(sockets => sockets.UnsafePreferInlineScheduling = SocketThreads.AreInline);
        // Checked by the configuration; given explicitly, so that no other setting (HTTP_PORTS, say) opens anything.
        builder.WebHost.UseUrls(builder.Configuration[WebHostDefaults.ServerUrlsKey] is { Length: > 0 } urls ? urls : ListenAddresses.Default);
        builder.Services.AddFlint(configuration);
        builder.Services.Configure<HostOptions>(host =>
        {
            // Together: the runtime drains and, in the end, kills what the HTTP server waits for.
            host.ServicesStopConcurrently = true;
            host.ShutdownTimeout = TimeSpan.FromMilliseconds(configuration.Sandbox.DrainTimeoutMs) + StopMargin;
        });
        customise?.Invoke(builder);
        var app = builder.Build();
        app.UseMiddleware<RequestPipeline>();
        if (configuration.Roles.HasApi)
        {
            MapApi(app);
        }

        app.MapHealth();
        return app;
    }

    public static async Task StartAsync(WebApplication app, CancellationToken cancellationToken)
    {
        LogConfiguration(app.Logger, string.Join("; ", app.Services.GetRequiredService<FlintConfiguration>().Describe()));
        await app.Services.GetRequiredService<IDatabase>().MigrateAsync(cancellationToken);
        app.Services.GetRequiredService<CodeCache>().Start();
        app.Services.GetService<JobCode>()?.Clear();
        await app.StartAsync(cancellationToken);
    }

    private static void MapApi(WebApplication app)
    {
        app.MapFunctions();
        app.MapVersions();
        app.MapAliases();
        InvokeEndpoint.Map(app);
        app.MapInvocations();
        if (app.Services.GetRequiredService<IServiceProviderIsService>().IsService(typeof(Data.Queue.IQueueStore)))
        {
            SubmitJobEndpoint.Map(app);
            app.MapJobs();
            app.MapWorkers();
            app.MapSchedules();
            app.MapDeadLetters();
            app.MapQueuedInvocations();
        }

        app.MapRuntimes();
        app.MapOpenApi("/openapi/{documentName}.json");
    }

    private static void Configure(KestrelServerOptions kestrel, HttpOptions http)
    {
        kestrel.AddServerHeader = false;
        kestrel.Limits.MaxConcurrentConnections = http.MaxConnections;
        kestrel.Limits.KeepAliveTimeout = TimeSpan.FromMilliseconds(http.KeepAliveTimeoutMs);
        kestrel.Limits.RequestHeadersTimeout = TimeSpan.FromMilliseconds(http.HeadersTimeoutMs);
        // Routes that read bodies raise this to their own limits.
        kestrel.Limits.MaxRequestBodySize = 1024 * 1024;
        kestrel.Limits.MaxRequestHeaderCount = 64;
        kestrel.Limits.MaxRequestHeadersTotalSize = 32 * 1024;
        kestrel.Limits.MaxRequestLineSize = 8 * 1024;
        kestrel.Limits.MinRequestBodyDataRate = new MinDataRate(bytesPerSecond: 240, gracePeriod: TimeSpan.FromSeconds(5));
        kestrel.ConfigureEndpointDefaults(endpoint => endpoint.Protocols = HttpProtocols.Http1);
    }

    [LoggerMessage(2002, LogLevel.Information, "Configuration: {Options}")]
    private static partial void LogConfiguration(ILogger logger, string options);
}
