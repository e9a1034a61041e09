namespace Flint.Engines.Native;

/// <summary>One zygote of the launcher, from ZYGOTE to ZYGOTE_GONE. Written by the session's event thread; the tasks may be awaited anywhere and never fault.</summary>
internal sealed class Zygote(uint id)
{
    private readonly TaskCompletionSource<bool> _booted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<string> _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public uint Id { get; } = id;

    /// <summary>In the launcher's pid namespace.</summary>
    public uint Pid { get; private set; }

    /// <summary>True at ZYGOTE_READY; false when it ended before.</summary>
    public Task<bool> Booted => _booted.Task;

    /// <summary>Completes with how it ended.</summary>
    public Task<string> Gone => _gone.Task;

    public bool IsReady => _booted.Task is { IsCompletedSuccessfully: true, Result: true } && !_gone.Task.IsCompleted;

    public void OnReady(uint pid)
    {
        Pid = pid;
        _booted.TrySetResult(true);
    }

    public void OnGone(uint code, uint signal, string message)
    {
        var end = signal == 0 ? $"exit status {code}" : $"signal {signal}";
        OnGone(message.Length == 0 ? end : $"{end}: {message}");
    }

    public void OnGone(string how)
    {
        _gone.TrySetResult(how);
        _booted.TrySetResult(false);
    }
}
