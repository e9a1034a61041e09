using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>Adds the native engine to the server.</summary>
public static class NativeServiceCollectionExtensions
{
    public static IServiceCollection AddNativeEngine(this IServiceCollection services, Func<IServiceProvider, NativeEngineSettings> settings) =>
        services.AddSingleton<ISandboxEngine>(provider => CreateNativeEngine(
            settings(provider), provider.GetRequiredService<ILoggerFactory>(), provider.GetRequiredService<TimeProvider>()));

    /// <summary>The engine by itself, for tools and tests.</summary>
    public static ISandboxEngine CreateNativeEngine(NativeEngineSettings settings, ILoggerFactory loggers, TimeProvider time) =>
        new NativeEngine(settings, loggers, time);
}
