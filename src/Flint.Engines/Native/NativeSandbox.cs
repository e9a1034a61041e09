using System.Buffers.Text;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>A guest in a cell. Freezing and memory figures are direct writes and reads of cgroup files, with no trip to the launcher.</summary>
internal sealed class NativeSandbox : ISandbox
{
    private static readonly TimeSpan GoneLimit = TimeSpan.FromSeconds(30);
    private readonly LauncherSession _session;
    private readonly Cell _cell;
    private readonly GuestStreams _streams;
    private readonly SandboxStart _start;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    // Both under the lock.
    private Task? _destroyed;
    private bool _frozen;

    public NativeSandbox(LauncherSession session, Cell cell, SandboxStart start, GuestPollers pollers, TimeProvider time)
    {
        _session = session;
        _cell = cell;
        _start = start;
        _time = time;
        _streams = cell.TakeStreams(pollers);
        Id = $"c{cell.Id}";
        if (start.Snapshot)
        {
            Template = cell.Template = new SnapshotTemplate(this, session, cell, pollers, time);
        }
    }

    public string Id { get; }

    public Stream Channel => _streams.Channel;

    public StartMode Start => _start.Mode;

    public string? StartReason => _start.Reason;

    public SandboxMaking Making => _cell.Making;

    public IReadOnlyDictionary<string, string>? GuestEnvironment => _start.Environment;

    public ISandboxTemplate? Template { get; }

    public Task<SandboxExit> Exited => _cell.Exited;

    public void AttachOutput(RawOutputHandler? handler) => _streams.Output.Attach(handler);

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        _streams.Output.Drain();
        return ValueTask.CompletedTask;
    }

    public ValueTask FreezeAsync(CancellationToken cancellationToken)
    {
        SetFrozen(true);
        return ValueTask.CompletedTask;
    }

    public ValueTask ThawAsync(CancellationToken cancellationToken)
    {
        SetFrozen(false);
        return ValueTask.CompletedTask;
    }

    /// <summary>For a sandbox that may be going away at the same time.</summary>
    public void TryThaw()
    {
        try
        {
            SetFrozen(false);
        }
        catch (EngineException)
        {
            // It is being destroyed: the launcher thaws what it kills.
        }
    }

    public void ResetPeakMemory()
    {
        if (_session.Hello.PeakReset)
        {
            WithDescriptor(_cell.MemoryPeakDescriptor, descriptor =>
                Libc.WriteControl(descriptor, _session.Hello.Cgroup == "v2" ? "reset"u8 : "0"u8));
        }
    }

    public long? ReadPeakMemory()
    {
        long? peak = null;
        WithDescriptor(_cell.MemoryPeakDescriptor, descriptor =>
        {
            Span<byte> text = stackalloc byte[32];
            var count = Libc.ReadControl(descriptor, text);
            peak = Utf8Parser.TryParse(text[..count], out long value, out _) ? value : null;
        });
        return peak;
    }

    public Task DestroyAsync()
    {
        lock (_lock)
        {
            if (_destroyed is null or { IsFaulted: true })
            {
                _destroyed = KillAndRemoveAsync();
            }

            return _destroyed;
        }
    }

    private async Task KillAndRemoveAsync()
    {
        _streams.Mute();
        _session.Kill(_cell);
        try
        {
            await _cell.Gone.WaitAsync(GoneLimit, _time);
        }
        catch (TimeoutException exception)
        {
            throw new EngineException($"Sandbox {Id} was killed but the host still shows it after {GoneLimit.TotalSeconds} s.", exception);
        }
        finally
        {
            lock (_lock)
            {
                _streams.Dispose();
                _cell.Dispose();
            }
        }
    }

    private void SetFrozen(bool frozen)
    {
        lock (_lock)
        {
            if (_frozen == frozen)
            {
                return;
            }

            WithDescriptor(_cell.FreezeDescriptor, descriptor => Libc.WriteControl(descriptor, (_session.Hello.Freezer, frozen) switch
            {
                ("v1", true) => "FROZEN"u8,
                ("v1", false) => "THAWED"u8,
                (_, true) => "1"u8,
                (_, false) => "0"u8,
            }));
            _frozen = frozen;
        }
    }

    // The lock keeps a descriptor from being closed, and its number reused, while it is in use.
    private void WithDescriptor(int descriptor, Action<int> action)
    {
        lock (_lock)
        {
            if (_destroyed is not null)
            {
                throw new EngineException($"Sandbox {Id} is being destroyed.");
            }

            if (descriptor < 0)
            {
                return;
            }

            try
            {
                action(descriptor);
            }
            catch (IOException exception)
            {
                throw new EngineException($"Sandbox {Id}: {exception.Message}", exception);
            }
        }
    }
}
