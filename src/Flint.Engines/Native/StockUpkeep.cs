using Flint.Runtime.Loops;
using Microsoft.Extensions.Logging;

namespace Flint.Engines.Native;

/// <summary>Takes away ready cells that demand no longer needs.</summary>
internal sealed class StockUpkeep(CellStock stock, TimeProvider time, ILogger<StockUpkeep> logger)
    : BackgroundLoop("native-stock", TimeSpan.FromSeconds(5), time, logger)
{
    protected override bool WaitFirst => true;

    public override Task<LoopRun> RunOnceAsync(CancellationToken cancellationToken) => Task.FromResult(new LoopRun(stock.Trim()));
}
