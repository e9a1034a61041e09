using System.Buffers.Binary;
using System.Net;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>
/// One cell of the launcher, from MAKE to GONE: the descriptors that came with READY and the events as tasks. Written by the session's
/// event thread; the tasks may be awaited anywhere. Whoever holds the cell disposes of it.
/// </summary>
/// <param name="id">The worker's number for it.</param>
/// <param name="kind">What it was made for.</param>
/// <param name="zygote">The zygote that forks its guest; 0 when there is none.</param>
/// <param name="settled">Called once, on the event thread: at READY, or with <see cref="Failure"/> set when it could not be made. Must not block.</param>
internal sealed class Cell(uint id, CellKind kind, uint zygote, Action<Cell> settled) : IDisposable
{
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _gone = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _killed;
    private bool _settled;
    private int _disposed;

    public uint Id { get; } = id;
    public CellKind Kind { get; } = kind;
    public uint Zygote { get; } = zygote;

    /// <summary>Why it could not be made, or its guest not be started; null when neither has failed.</summary>
    public CellFailure? Failure { get; private set; }

    /// <summary>Hears of forks and failures once it is set.</summary>
    public SnapshotTemplate? Template { get; set; }

    /// <summary>Called once, on the event thread, before <see cref="Gone"/> completes; not for a cell that was gone when it was set. Must not block.</summary>
    public Action? WhenGone { get; set; }

    /// <summary>Neither it nor the guest that waits in it has ended.</summary>
    public bool IsAlive => !_exited.Task.IsCompleted && !_gone.Task.IsCompleted;

    /// <summary>Completes when the guest has ended, or with a platform kill when the cell went away without one. Never faults.</summary>
    public Task<SandboxExit> Exited => _exited.Task;

    /// <summary>Completes when the host proved the cell empty; faults when something was left.</summary>
    public Task Gone => _gone.Task;

    public bool WasReady { get; private set; }

    public SandboxMaking Making { get; private set; }

    /// <summary>Where its DNS questions come from; null without a network.</summary>
    public IPAddress? Address { get; private set; }

    public int ChannelDescriptor { get; private set; } = -1;
    public int StdoutDescriptor { get; private set; } = -1;
    public int StderrDescriptor { get; private set; } = -1;
    public int FreezeDescriptor { get; private set; } = -1;
    public int MemoryPeakDescriptor { get; private set; } = -1;
    public int CpuUsageDescriptor { get; private set; } = -1;

    /// <summary>Their owner is now somebody else.</summary>
    public GuestStreams TakeStreams(GuestPollers pollers)
    {
        var (channel, stdout, stderr) = (ChannelDescriptor, StdoutDescriptor, StderrDescriptor);
        (ChannelDescriptor, StdoutDescriptor, StderrDescriptor) = (-1, -1, -1);
        return new GuestStreams(channel, stdout, stderr, pollers);
    }

    /// <summary>Flint asked for its end: an exit by signal from here on is not the guest's.</summary>
    public void MarkKilled() => _killed = true;

    /// <summary>Takes the descriptors out of the list.</summary>
    /// <param name="descriptors">As they came.</param>
    /// <param name="names">Of those beyond the first three.</param>
    /// <param name="address">IPv4, its first byte the highest; 0 without a network.</param>
    /// <param name="making">As the launcher timed it.</param>
    public void OnReady(List<int> descriptors, IReadOnlyList<string> names, uint address = 0, SandboxMaking making = default)
    {
        if (descriptors.Count != 3 + names.Count)
        {
            throw new InvalidDataException($"The launcher sent {descriptors.Count} descriptors with READY instead of {3 + names.Count}.");
        }

        Address = address == 0 ? null : new IPAddress(BinaryPrimitives.ReverseEndianness(address));
        ChannelDescriptor = descriptors[0];
        StdoutDescriptor = descriptors[1];
        StderrDescriptor = descriptors[2];
        for (var i = 0; i < names.Count; i++)
        {
            Keep(names[i], descriptors[3 + i]);
        }

        descriptors.Clear();
        Making = making;
        WasReady = true;
        Settle();
    }

    public void OnFailed(CellFailure failure)
    {
        Failure = failure;
        Template?.OnFailed(failure);
        Settle();
    }

    public void OnExited(uint code, uint signal, bool outOfMemory) =>
        _exited.TrySetResult(SandboxExits.Of(code, signal, outOfMemory, _killed));

    public void OnGone(string? leftover)
    {
        if (!_settled)
        {
            Failure ??= CellFailure.LauncherEnded;
            Settle();
        }

        WhenGone?.Invoke();
        // Killed with its cell for what it did with its own means of being forked: nobody else's fault.
        _exited.TrySetResult(Failure is { IsTheTemplates: true } ? SandboxExits.Of(0, 9, outOfMemory: false, _killed) : SandboxExits.Lost);
        if (leftover is null)
        {
            _gone.TrySetResult();
        }
        else
        {
            _gone.TrySetException(new EngineException($"A sandbox left something behind: {leftover}"));
        }

        // Nobody may be listening: an unobserved fault is not an error of its own.
        _ = _gone.Task.Exception;
        Template?.OnGone();
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        foreach (var descriptor in (ReadOnlySpan<int>)[ChannelDescriptor, StdoutDescriptor, StderrDescriptor, FreezeDescriptor, MemoryPeakDescriptor, CpuUsageDescriptor])
        {
            if (descriptor >= 0)
            {
                Libc.Close(descriptor);
            }
        }
    }

    private void Keep(string name, int descriptor)
    {
        switch (name)
        {
            case "freeze":
                FreezeDescriptor = descriptor;
                break;
            case "memoryPeak":
                MemoryPeakDescriptor = descriptor;
                break;
            case "cpuUsage":
                CpuUsageDescriptor = descriptor;
                break;
            default:
                Libc.Close(descriptor);
                break;
        }
    }

    private void Settle()
    {
        if (!_settled)
        {
            _settled = true;
            settled(this);
        }
    }
}
