using System.Buffers.Text;
using System.Net.Sockets;
using System.Text;
using Flint.Runtime.Sandboxing;

namespace Flint.Engines.Native;

/// <summary>A guest in a cell. Freezing and memory figures are direct writes and reads of cgroup files, with no trip to the launcher.</summary>
internal sealed class NativeSandbox : ISandbox
{
    private static readonly TimeSpan GoneLimit = TimeSpan.FromSeconds(30);
    private readonly LauncherSession _session;
    private readonly Cell _cell;
    private readonly RawOutput _output;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private Task? _destroyed;
    private bool _frozen;

    public NativeSandbox(LauncherSession session, Cell cell, RawOutputPump pump, TimeProvider time)
    {
        _session = session;
        _cell = cell;
        _time = time;
        var (stdout, stderr) = cell.TakePipes();
        _output = new RawOutput(pump, stdout, stderr);
        Channel = new NetworkStream(cell.Channel!, ownsSocket: false);
        Id = $"c{cell.Id}";
    }

    public string Id { get; }

    public Stream Channel { get; }

    public Task<SandboxExit> Exited => _cell.Exited;

    public void AttachOutput(RawOutputHandler? handler) => _output.Attach(handler);

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        _output.Drain();
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
            return _destroyed ??= KillAndRemoveAsync();
        }
    }

    private async Task KillAndRemoveAsync()
    {
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
                Channel.Dispose();
                _output.Dispose();
                _cell.Dispose();
            }
        }
    }

    private void SetFrozen(bool frozen)
    {
        if (_frozen == frozen)
        {
            return;
        }

        var v1 = _session.Hello.Freezer == "v1";
        WithDescriptor(_cell.FreezeDescriptor, descriptor =>
            Libc.WriteControl(descriptor, Encoding.ASCII.GetBytes((v1, frozen) switch
            {
                (true, true) => "FROZEN",
                (true, false) => "THAWED",
                (false, true) => "1",
                (false, false) => "0",
            })));
        _frozen = frozen;
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
