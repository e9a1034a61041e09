using Flint.Runtime.Loops;
using Flint.Runtime.Pooling;
using Flint.Server.Packages;

namespace Flint.Server.Services;

/// <summary>Removes unpacked code that nothing here uses, and stored code that no function names.</summary>
internal sealed partial class CodePruner(
    CodeCache cache, FunctionCatalog catalog, SandboxPools pools, PackageService packages, TimeProvider time, ILogger<CodePruner> log)
    : BackgroundLoop("code-pruner", TimeSpan.FromMinutes(10), time, log)
{
    private readonly ILogger _log = log;

    protected override bool WaitFirst => true;

    public override async Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken)
    {
        var inUse = catalog.CodeDirectories();
        inUse.UnionWith(pools.LiveCodeDirectories());
        var unpacked = cache.RemoveUnused(inUse, cancellationToken);
        var stored = await packages.ForgetUnnamedAsync(cancellationToken);
        if (unpacked + stored > 0)
        {
            LogPruned(_log, unpacked, stored);
        }

        return new LoopRun(unpacked + stored);
    }

    [LoggerMessage(2402, LogLevel.Information, "Removed unused code: {Unpacked} unpacked packages, {Stored} stored ones")]
    private static partial void LogPruned(ILogger logger, int unpacked, int stored);
}
