namespace Flint.TestKit.Time;

/// <summary>Something a test waits for instead of sleeping. Each <see cref="Set"/> releases one wait, before or after it begins.</summary>
public sealed class TestSignal
{
    private readonly SemaphoreSlim _semaphore = new(0);

    public void Set() => _semaphore.Release();

    /// <summary>Fails the test when nothing comes within the bound, which is far beyond what a loaded machine needs.</summary>
    public async Task WaitAsync(int boundSeconds = 20)
    {
        if (!await _semaphore.WaitAsync(TimeSpan.FromSeconds(boundSeconds)))
        {
            throw new TimeoutException($"The signal did not come within {boundSeconds} s.");
        }
    }

    /// <summary>True when a signal is waiting to be taken.</summary>
    public bool IsSet => _semaphore.CurrentCount > 0;
}

/// <summary>Waits, bounded, for a condition that another thread makes true.</summary>
public static class Eventually
{
    public static async Task True(Func<bool> condition, string what, int boundSeconds = 20)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            if (TimeProvider.System.GetElapsedTime(started) > TimeSpan.FromSeconds(boundSeconds))
            {
                throw new TimeoutException($"Not within {boundSeconds} s: {what}");
            }
            await Task.Delay(1);
        }
    }
}
