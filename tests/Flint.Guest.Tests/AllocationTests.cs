using Flint.Runtime.Guest;

namespace Flint.Guest.Tests;

/// <summary>Runs alone, since what the process allocates is counted.</summary>
[Collection("alone")]
public sealed class AllocationTests
{
    [Fact]
    public async Task A_flood_of_log_frames_costs_bounded_memory()
    {
        byte[] flood = [.. Enumerable.Repeat(GuestFrames.Log(1, new byte[1000]), 1000).SelectMany(frame => frame)];
        ScriptedSandbox sandbox = new ScriptedSandbox().First(GuestFrames.Ready).Then(_ => [GuestFrames.InitOk])
            .Then(nonce => [.. Enumerable.Repeat(flood, 100), GuestFrames.Result(nonce, "1"u8)]);
        GuestConnection connection = new(sandbox, new GuestLimits());
        GuestInit init = new() { Handler = "h", FunctionName = "f", FunctionVersion = "1", InvokedFunctionArn = "a", MemoryMb = 128 };
        InvocationLog log = new(1024 * 1024, TimeProvider.System);
        await connection.InitAsync(init, log, CancellationToken.None);
        long before = GC.GetTotalAllocatedBytes(precise: true);

        await connection.InvokeAsync(new GuestInvoke("r", DateTimeOffset.UnixEpoch, "1"u8.ToArray(), null, null), log, CancellationToken.None);

        // 100 MB of frames; 1 MiB of them kept as UTF-16.
        (GC.GetTotalAllocatedBytes(precise: true) - before).ShouldBeLessThan(20_000_000);
        CapturedLog captured = log.Complete();
        (captured.Lines.Count - 1 + captured.DroppedLines).ShouldBe(100_000);
    }
}

/// <summary>Tests that nothing else may run beside.</summary>
[CollectionDefinition("alone", DisableParallelization = true)]
public sealed class AloneCollection;
