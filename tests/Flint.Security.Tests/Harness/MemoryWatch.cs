using System.Diagnostics;

namespace Flint.Security.Tests.Harness;

/// <summary>Samples how much this process, which is the server here, grows from the moment it was made.</summary>
internal sealed class MemoryWatch : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _sampling;
    private readonly long _heapBefore;
    private readonly long _residentBefore;
    private long _heapPeak;
    private long _residentPeak;

    public MemoryWatch()
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        _heapBefore = _heapPeak = GC.GetTotalMemory(forceFullCollection: false);
        _residentBefore = _residentPeak = Resident();
        _sampling = Task.Run(SampleAsync);
    }

    /// <summary>Stops sampling and demands that neither the managed heap nor the whole process grew by more.</summary>
    public async Task ShouldHaveStayedFlatAsync(int heapMb = 64, int residentMb = 160)
    {
        await DisposeAsync();
        var heap = (_heapPeak - _heapBefore) >> 20;
        var resident = (_residentPeak - _residentBefore) >> 20;
        TestContext.Current.TestOutputHelper?.WriteLine($"the server grew by {heap} MB of heap and {resident} MB in all");
        heap.ShouldBeLessThan(heapMb, "managed heap, MB");
        resident.ShouldBeLessThan(residentMb, "resident memory, MB");
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _sampling;
    }

    private async Task SampleAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            _heapPeak = Math.Max(_heapPeak, GC.GetTotalMemory(forceFullCollection: false));
            _residentPeak = Math.Max(_residentPeak, Resident());
            await Task.Delay(5, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private static long Resident()
    {
        using var process = Process.GetCurrentProcess();
        return process.WorkingSet64;
    }
}
