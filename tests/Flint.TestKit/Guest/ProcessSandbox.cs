using System.Net.Sockets;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Guest;

/// <summary>
/// A guest as a plain child process: no isolation, no limits, the same descriptors that a real sandbox gives it (0 /dev/null, 1 and 2 pipes,
/// 3 the channel). For tests of the guest protocol with real interpreters.
/// </summary>
public sealed class ProcessSandbox : ISandbox
{
    private readonly int _pid;
    private readonly RawPipes _pipes;
    private readonly Socket _socket;
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _destroyed;

    private ProcessSandbox(int pid, int channel, int stdout, int stderr)
    {
        _pid = pid;
        _pipes = new RawPipes(stdout, stderr);
        _socket = new Socket(new SafeSocketHandle(channel, ownsHandle: true));
        Channel = new NetworkStream(_socket, ownsSocket: true);
        Thread waiter = new(WaitForExit) { IsBackground = true, Name = "test-guest-exit" };
        waiter.Start();
    }

    public string Id => $"p{_pid}";

    public Stream Channel { get; }

    public Task<SandboxExit> Exited => _exited.Task;

    /// <summary>Starts <paramref name="arguments"/> with exactly this environment.</summary>
    public static ProcessSandbox Start(IReadOnlyList<string> arguments, IReadOnlyDictionary<string, string> environment)
    {
        (int channel, int guestChannel) = TestLibc.SocketPair();
        (int stdout, int guestStdout) = TestLibc.Pipe();
        (int stderr, int guestStderr) = TestLibc.Pipe();
        try
        {
            int pid = TestLibc.Spawn(arguments, [.. environment.Select(pair => $"{pair.Key}={pair.Value}")], guestStdout, guestStderr, guestChannel);
            return new ProcessSandbox(pid, channel, stdout, stderr);
        }
        finally
        {
            TestLibc.Close(guestChannel);
            TestLibc.Close(guestStdout);
            TestLibc.Close(guestStderr);
        }
    }

    public void AttachOutput(RawOutputHandler? handler) => _pipes.Attach(handler);

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        _pipes.Drain();
        return ValueTask.CompletedTask;
    }

    public ValueTask FreezeAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public ValueTask ThawAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    public void ResetPeakMemory()
    {
    }

    public long? ReadPeakMemory() => null;

    public async Task DestroyAsync()
    {
        if (_destroyed)
        {
            await Exited.ConfigureAwait(false);
            return;
        }
        _destroyed = true;
        TestLibc.KillGroup(_pid);
        await Exited.ConfigureAwait(false);
        await Channel.DisposeAsync().ConfigureAwait(false);
        _pipes.Dispose();
    }

    private void WaitForExit()
    {
        (int? code, int? signal) = TestLibc.Wait(_pid);
        _exited.SetResult(new SandboxExit(code, signal, OutOfMemory: false, KilledByPlatform: _destroyed));
    }
}
