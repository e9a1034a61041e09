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
    private readonly int _control;
    private readonly StartMode _start;
    private readonly RawPipes _pipes;
    private readonly Socket _socket;
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _destroyed;

    private ProcessSandbox(int pid, int channel, int stdout, int stderr, int control = -1)
    {
        _pid = pid;
        _control = control;
        _start = control < 0 ? StartMode.Exec : StartMode.Zygote;
        _pipes = new RawPipes(stdout, stderr);
        _socket = new Socket(new SafeSocketHandle(channel, ownsHandle: true));
        Channel = new NetworkStream(_socket, ownsSocket: true);
        Thread waiter = new(WaitForExit) { IsBackground = true, Name = "test-guest-exit" };
        waiter.Start();
    }

    public string Id => $"p{_pid}";

    public Stream Channel { get; }

    StartMode ISandbox.Start => _start;

    public IReadOnlyDictionary<string, string>? GuestEnvironment { get; private init; }

    public ISandboxTemplate? Template { get; private init; }

    /// <summary>The host's pid.</summary>
    public int Pid => _pid;

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

    /// <summary>A guest that a zygote forks when it is asked over <paramref name="socket"/>; it has GO.</summary>
    /// <param name="socket">The zygote's or the template's control socket.</param>
    /// <param name="environment">What INIT must carry; null for a fork of a template.</param>
    /// <param name="snapshot">It will be a template.</param>
    public static ProcessSandbox Fork(int socket, IReadOnlyDictionary<string, string>? environment, bool snapshot)
    {
        (int channel, int guestChannel) = TestLibc.SocketPair();
        (int stdout, int guestStdout) = TestLibc.Pipe();
        (int stderr, int guestStderr) = TestLibc.Pipe();
        (int control, int guestControl) = TestLibc.SocketPair(packets: true);
        try
        {
            TestLibc.Send(socket, (byte)'F', guestChannel, guestStdout, guestStderr, guestControl);
            Span<byte> pid = stackalloc byte[4];
            if (TestLibc.Read(socket, pid) != pid.Length)
            {
                throw new IOException("the zygote has ended");
            }
            TestLibc.Send(control, (byte)'G');
            return new ProcessSandbox(BitConverter.ToInt32(pid), channel, stdout, stderr, control)
            {
                GuestEnvironment = environment,
                Template = snapshot ? new ControlledTemplate(control) : null,
            };
        }
        finally
        {
            TestLibc.Close(guestChannel);
            TestLibc.Close(guestStdout);
            TestLibc.Close(guestStderr);
            TestLibc.Close(guestControl);
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
        if (_control >= 0)
        {
            TestLibc.Close(_control);
        }
    }

    private void WaitForExit()
    {
        (int? code, int? signal) = TestLibc.Wait(_pid);
        _exited.SetResult(new SandboxExit(code, signal, OutOfMemory: false, KilledByPlatform: _destroyed));
    }

    private sealed class ControlledTemplate(int control) : ISandboxTemplate
    {
        public Task<ISandbox> ForkAsync(CancellationToken cancellationToken) =>
            Task.Run<ISandbox>(() => ProcessSandbox.Fork(control, environment: null, snapshot: false), cancellationToken);
    }
}
