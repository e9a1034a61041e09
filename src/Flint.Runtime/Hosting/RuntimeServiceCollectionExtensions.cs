using Flint.Runtime.Invocation;
using Flint.Runtime.Loops;
using Flint.Runtime.Pooling;
using Flint.Runtime.Sandboxing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace Flint.Runtime.Hosting;

/// <summary>Puts the invocation plane together.</summary>
public static class RuntimeServiceCollectionExtensions
{
    /// <summary>
    /// Adds <see cref="Dispatcher"/>, <see cref="SandboxPools"/>, <see cref="EngineRegistry"/> and their loops, which can also be
    /// asked for as all <see cref="BackgroundLoop"/>s. Engines are added by their own
    /// projects as <see cref="ISandboxEngine"/>; <see cref="SandboxOptions"/> and <see cref="LimitOptions"/> are bound by the server.
    /// </summary>
    public static IServiceCollection AddFlintRuntime(this IServiceCollection services)
    {
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<SandboxJanitor>();
        services.TryAddSingleton<EngineRegistry>();
        services.TryAddSingleton(provider => PoolLimits.From(provider.GetRequiredService<IOptions<SandboxOptions>>().Value, HostMemory.Read()));
        services.TryAddSingleton(provider => new SandboxPools(
            provider.GetRequiredService<PoolLimits>(), provider.GetRequiredService<SandboxJanitor>(),
            provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<SandboxPools>>()));
        services.TryAddSingleton(provider => new Dispatcher(
            provider.GetRequiredService<SandboxPools>(), provider.GetRequiredService<EngineRegistry>(),
            provider.GetRequiredService<IOptions<SandboxOptions>>().Value, provider.GetRequiredService<IOptions<LimitOptions>>().Value,
            provider.GetRequiredService<TimeProvider>(), provider.GetRequiredService<ILogger<Dispatcher>>()));
        services.TryAddSingleton<Func<HostMemory>>(_ => HostMemory.Read);
        services.TryAddSingleton<IdleFreezer>();
        services.TryAddSingleton<IdlePruner>();
        // Under their base too, for health.
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<SandboxJanitor>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<IdleFreezer>());
        services.AddSingleton<BackgroundLoop>(provider => provider.GetRequiredService<IdlePruner>());
        services.AddOptions<SandboxOptions>().ValidateOnStart();
        services.AddOptions<LimitOptions>().ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<SandboxOptions>, SandboxOptionsValidator>());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<LimitOptions>, LimitOptionsValidator>());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, RuntimeHost>());
        return services;
    }

    private sealed class SandboxOptionsValidator : IValidateOptions<SandboxOptions>
    {
        public ValidateOptionsResult Validate(string? name, SandboxOptions options) => Result(options.Validate());
    }

    private sealed class LimitOptionsValidator : IValidateOptions<LimitOptions>
    {
        public ValidateOptionsResult Validate(string? name, LimitOptions options) => Result(options.Validate());
    }

    private static ValidateOptionsResult Result(IReadOnlyList<string> problems) =>
        problems.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems);
}
