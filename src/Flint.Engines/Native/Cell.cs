using System.Net.Sockets;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>
/// One cell of the launcher, from MAKE to GONE: the descriptors that came with READY and the events as tasks. Written by the session's
/// event thread; the tasks may be awaited anywhere. Whoever holds the cell disposes of it.
/// </summary>
internal sealed class Cell(uint id, string tenant) : IDisposable
{
    private readonly TaskCompletionSource _ready = New();
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _gone = New();
    private volatile bool _killed;
    private int _disposed;

    public uint Id { get; } = id;
    public string Tenant { get; } = tenant;

    /// <summary>Completes at READY; faults with <see cref="EngineException"/> when the cell could not be made.</summary>
    public Task Ready => _ready.Task;

    /// <summary>Completes when the guest has ended, or with a platform kill when the cell went away without one. Never faults.</summary>
    public Task<SandboxExit> Exited => _exited.Task;

    /// <summary>Completes when the host proved the cell empty; faults when something was left.</summary>
    public Task Gone => _gone.Task;

    public Socket? Channel { get; private set; }
    public int StdoutDescriptor { get; private set; } = -1;
    public int StderrDescriptor { get; private set; } = -1;
    public int FreezeDescriptor { get; private set; } = -1;
    public int MemoryPeakDescriptor { get; private set; } = -1;
    public int CpuUsageDescriptor { get; private set; } = -1;

    /// <summary>The pipes' owner is now somebody else.</summary>
    public (int Stdout, int Stderr) TakePipes()
    {
        var pipes = (StdoutDescriptor, StderrDescriptor);
        (StdoutDescriptor, StderrDescriptor) = (-1, -1);
        return pipes;
    }

    /// <summary>Flint asked for its end: an exit by signal from here on is not the guest's.</summary>
    public void MarkKilled() => _killed = true;

    public void OnReady(IReadOnlyList<int> descriptors, IReadOnlyList<string> names)
    {
        if (descriptors.Count != 3 + names.Count)
        {
            foreach (var descriptor in descriptors)
            {
                Libc.Close(descriptor);
            }

            throw new InvalidDataException($"The launcher sent {descriptors.Count} descriptors with READY instead of {3 + names.Count}.");
        }

        Channel = new Socket(new SafeSocketHandle(descriptors[0], ownsHandle: true));
        StdoutDescriptor = descriptors[1];
        StderrDescriptor = descriptors[2];
        for (var i = 0; i < names.Count; i++)
        {
            Keep(names[i], descriptors[3 + i]);
        }

        _ready.TrySetResult();
    }

    public void OnFailed(string message)
    {
        _ready.TrySetException(new EngineException(message));
        // A failed START: the guest never ran, and the reason is the platform's.
        StartFailure ??= message;
    }

    /// <summary>Why the guest could not be started, or null.</summary>
    public string? StartFailure { get; private set; }

    public void OnExited(uint code, uint signal, bool outOfMemory) =>
        _exited.TrySetResult(new SandboxExit(
            signal == 0 ? (int)code : null, signal == 0 ? null : (int)signal, outOfMemory, _killed && !outOfMemory));

    public void OnGone(string? leftover)
    {
        _ready.TrySetException(new EngineException("The cell went away before it was ready."));
        _exited.TrySetResult(new SandboxExit(null, null, false, KilledByPlatform: true));
        if (leftover is null)
        {
            _gone.TrySetResult();
        }
        else
        {
            _gone.TrySetException(new EngineException($"A sandbox left something behind: {leftover}"));
        }

        // Nobody may be listening: an unobserved fault is not an error of its own.
        _ = _ready.Task.Exception;
        _ = _gone.Task.Exception;
    }

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        Channel?.Dispose();
        foreach (var descriptor in (ReadOnlySpan<int>)[StdoutDescriptor, StderrDescriptor, FreezeDescriptor, MemoryPeakDescriptor, CpuUsageDescriptor])
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

    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
