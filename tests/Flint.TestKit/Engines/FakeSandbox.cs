using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.TestKit.Engines;

/// <summary>A sandbox without a process: a scripted guest that speaks the real guest protocol over in-memory pipes.</summary>
public sealed class FakeSandbox : ISandbox
{
    private readonly FakeEngine _engine;
    private readonly Pipe _toGuest = new();
    private readonly Pipe _toWorker = new();
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _killed = new();
    private readonly SemaphoreSlim _write = new(1, 1);
    private volatile RawOutputHandler? _output;
    /// <summary>Incomplete while frozen: the guest then neither reads nor writes.</summary>
    private volatile TaskCompletionSource _running = Completed();
    private readonly FakeSandbox? _whole;
    private int _events;
    private int _destroyCalls;
    private int _logFrames;
    private volatile bool _dead;

    internal FakeSandbox(FakeEngine engine, string id, SandboxSpec spec, FakeScript script)
    {
        _engine = engine;
        Id = id;
        Spec = spec;
        Script = script;
        StartReason = spec.Start == StartMode.Zygote ? engine.ExecReason(spec) : null;
        Channel = new PipeStream(_toWorker.Reader.AsStream(), _toGuest.Writer.AsStream());
        FakeTemplate = spec.Snapshot ? new FakeTemplate(this) : null;
        Guest = Task.Run(() => GuestAsync(booted: false));
    }

    /// <summary>A fork of a snapshot: a guest after INIT_OK.</summary>
    internal FakeSandbox(FakeSandbox whole, int number)
    {
        _engine = whole._engine;
        _whole = whole;
        Id = $"{whole.Id}.{number}";
        Spec = whole.Spec;
        Script = whole.Script;
        Channel = new PipeStream(_toWorker.Reader.AsStream(), _toGuest.Writer.AsStream());
        Guest = Task.Run(() => GuestAsync(booted: true));
    }

    public string Id { get; }
    public SandboxSpec Spec { get; }
    public StartMode Start => Spec.Start == StartMode.Exec || StartReason is not null ? StartMode.Exec : StartMode.Zygote;
    public string? StartReason { get; }
    public IReadOnlyDictionary<string, string>? GuestEnvironment => Start == StartMode.Zygote ? Spec.Environment : null;
    ISandboxTemplate? ISandbox.Template => FakeTemplate;
    /// <summary>Not null in a snapshot.</summary>
    public FakeTemplate? FakeTemplate { get; }
    public bool IsDead => _dead;
    /// <summary>What INIT carried.</summary>
    public JsonElement Init { get; private set; }
    public FakeScript Script { get; }
    public Stream Channel { get; }
    public Task<SandboxExit> Exited => _exited.Task;

    /// <summary>The guest's own task; completes when it has ended.</summary>
    public Task Guest { get; }
    public int Events => _events;
    /// <summary>LOG frames that the worker has taken, but for what fits into the pipe.</summary>
    public int LogFrames => _logFrames;
    public int Freezes { get; private set; }
    public int Thaws { get; private set; }
    public bool Frozen { get; private set; }
    public bool Destroyed { get; private set; }
    public int DestroyCalls => _destroyCalls;
    public long? PeakMemory { get; set; } = 20 << 20;
    public int PeakResets { get; private set; }

    /// <summary>Called by freeze, thaw and destroy before they do anything; may throw or wait.</summary>
    public Func<string, Task> OnLifecycle { get; set; } = _ => Task.CompletedTask;

    /// <summary>Thrown by draining the output and by reading the peak.</summary>
    public Exception? ReadFailure { get; set; }

    public void AttachOutput(RawOutputHandler? handler)
    {
        RefuseDead();
        _output = handler;
    }

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        RefuseDead();
        return ReadFailure is { } failure ? throw failure : ValueTask.CompletedTask;
    }

    public async ValueTask FreezeAsync(CancellationToken cancellationToken)
    {
        RefuseDead();
        await OnLifecycle("freeze").WaitAsync(cancellationToken);
        Freezes++;
        SetFrozen(true);
    }

    public async ValueTask ThawAsync(CancellationToken cancellationToken)
    {
        RefuseDead();
        await OnLifecycle("thaw").WaitAsync(cancellationToken);
        Thaws++;
        SetFrozen(false);
    }

    public void ResetPeakMemory()
    {
        RefuseDead();
        PeakResets++;
    }

    public long? ReadPeakMemory()
    {
        RefuseDead();
        return ReadFailure is { } failure ? throw failure : PeakMemory;
    }

    public async Task DestroyAsync()
    {
        Interlocked.Increment(ref _destroyCalls);
        await OnLifecycle("destroy");
        End(new SandboxExit(null, 9, false, true));
        CloseChannel();
        Destroyed = true;
        if (_whole is null)
        {
            _engine.Gone(this);
        }
    }

    /// <summary>The process ends by itself.</summary>
    public void Die(SandboxExit exit)
    {
        End(exit);
        CloseChannel();
    }

    internal void OnForked(FakeSandbox fork) => _engine.OnForked(fork);

    private void SetFrozen(bool frozen)
    {
        Frozen = frozen;
        if (frozen)
        {
            _running = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        else
        {
            _running.TrySetResult();
        }
        FakeTemplate?.Last?.SetFrozen(frozen);
    }

    internal async ValueTask WriteLogAsync(string text)
    {
        await WriteAsync(FakeFrames.Make(FakeFrames.Log, [1], Encoding.UTF8.GetBytes(text)));
        Interlocked.Increment(ref _logFrames);
    }

    internal void WriteRaw(byte[] bytes) => _output?.Invoke(LogStream.Stderr, bytes);

    private static TaskCompletionSource Completed()
    {
        var source = new TaskCompletionSource();
        source.SetResult();
        return source;
    }

    private void End(SandboxExit exit)
    {
        _dead = true;
        _exited.TrySetResult(exit);
        _killed.Cancel();
        foreach (var fork in FakeTemplate?.Forks ?? [])
        {
            fork.Die(exit);
        }
    }

    private void CloseChannel() => _toWorker.Writer.Complete();

    private void RefuseDead()
    {
        if (_dead)
        {
            throw new EngineException($"Fake sandbox {Id} is dead.");
        }
    }

    private async Task GuestAsync(bool booted)
    {
        try
        {
            await (booted ? Task.CompletedTask : WriteAsync(FakeFrames.Make(FakeFrames.Ready, JsonSerializer.SerializeToUtf8Bytes(new { protocol = 1, runtime = Spec.Runtime, pid = 2 }))));
            var reader = _toGuest.Reader.AsStream();
            while (true)
            {
                var header = new byte[8];
                await reader.ReadExactlyAsync(header, _killed.Token);
                var body = new byte[BinaryPrimitives.ReadInt32LittleEndian(header.AsSpan(4))];
                await reader.ReadExactlyAsync(body, _killed.Token);
                await _running.Task.WaitAsync(_killed.Token);
                await (header[1] == FakeFrames.Init ? InitAsync(body) : EventAsync(body));
            }
        }
        catch (Exception exception) when (exception is OperationCanceledException or EndOfStreamException or InvalidOperationException or IOException)
        {
            // Killed, or the worker closed the channel.
        }
    }

    private async Task InitAsync(byte[] body)
    {
        using var init = JsonDocument.Parse(body);
        Init = init.RootElement.Clone();
        var answer = await Script.OnInit(this);
        switch (answer)
        {
            case null:
                await WriteAsync(FakeFrames.Make(FakeFrames.InitOk));
                break;
            case FakeAnswer.Error error:
                await WriteAsync(FakeFrames.Make(FakeFrames.InitError, FakeFrames.ErrorJson(error)));
                break;
            default:
                await ActAsync(answer, []);
                break;
        }
    }

    private async Task EventAsync(byte[] body)
    {
        var nonce = body[..16];
        var metaLength = BinaryPrimitives.ReadInt32LittleEndian(body.AsSpan(16));
        using var meta = JsonDocument.Parse(body.AsMemory(20, metaLength));
        var number = Interlocked.Increment(ref _events);
        var answer = await Script.OnEvent(new FakeEvent(
            this, number, meta.RootElement.GetProperty("requestId").GetString()!, meta.RootElement.GetProperty("deadlineMs").GetInt64(), body[(20 + metaLength)..]));
        await ActAsync(answer, nonce);
    }

    private async Task ActAsync(FakeAnswer answer, byte[] nonce)
    {
        switch (answer)
        {
            case FakeAnswer.Result result:
                await WriteAsync(FakeFrames.Make(FakeFrames.Result, nonce, result.Bytes.ToArray()));
                break;
            case FakeAnswer.Error error:
                await WriteAsync(FakeFrames.Make(FakeFrames.Error, nonce, FakeFrames.ErrorJson(error)));
                break;
            case FakeAnswer.Hang:
                await Task.Delay(Timeout.Infinite, _killed.Token);
                break;
            case FakeAnswer.Exit exit:
                Die(new SandboxExit(exit.Code, null, false, false));
                break;
            case FakeAnswer.OutOfMemory:
                Die(new SandboxExit(null, 9, true, false));
                break;
            case FakeAnswer.Lost:
                Die(new SandboxExit(null, null, false, true));
                break;
            case FakeAnswer.CloseChannel:
                CloseChannel();
                break;
            case FakeAnswer.ExitHoldingChannel exit:
                End(new SandboxExit(exit.Code, null, false, false));
                break;
            case FakeAnswer.Raw raw:
                await WriteAsync(raw.Bytes);
                break;
            case FakeAnswer.Flood:
                while (!_killed.IsCancellationRequested)
                {
                    await WriteLogAsync(new string('x', 60_000));
                }
                break;
        }
    }

    private async Task WriteAsync(byte[] bytes)
    {
        await _write.WaitAsync(_killed.Token);
        try
        {
            await _running.Task.WaitAsync(_killed.Token);
            await _toWorker.Writer.WriteAsync(bytes, _killed.Token);
        }
        finally
        {
            _write.Release();
        }
    }
}
