using System.Buffers.Binary;
using Flint.Runtime.Sandboxing;

namespace Flint.Bench.Runtime;

/// <summary>An engine whose guests answer in the very call that asks them, so that what is measured is Flint's own path and nothing else.</summary>
internal sealed class InstantEngine : ISandboxEngine
{
    private int _created;

    public string Name => "native";
    public EngineCapabilities Capabilities { get; } = new(["python3.11"], true, true, []);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task<EngineReport> ProbeAsync(CancellationToken cancellationToken) =>
        Task.FromResult(new EngineReport(Name, true, "Instant guests for measurements", Capabilities.Runtimes, []));

    public Task<ISandbox> CreateAsync(SandboxSpec spec, CancellationToken cancellationToken) =>
        Task.FromResult<ISandbox>(new InstantSandbox($"instant-{Interlocked.Increment(ref _created)}"));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

internal sealed class InstantSandbox(string id) : ISandbox
{
    private readonly TaskCompletionSource<SandboxExit> _exited = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public string Id => id;
    public Stream Channel { get; } = new InstantChannel();
    public Task<SandboxExit> Exited => _exited.Task;
    public void AttachOutput(RawOutputHandler? handler) { }
    public ValueTask DrainOutputAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
    public ValueTask FreezeAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
    public ValueTask ThawAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
    public void ResetPeakMemory() { }
    public long? ReadPeakMemory() => 10 << 20;

    public Task DestroyAsync()
    {
        _exited.TrySetResult(new SandboxExit(null, 9, false, true));
        return Task.CompletedTask;
    }
}

/// <summary>READY first, INIT_OK to an INIT, and the result <c>{"ok":true}</c> to each INVOKE, all without waiting.</summary>
internal sealed class InstantChannel : Stream
{
    private static readonly byte[] Ready = Frame(0x81, "{\"protocol\":1,\"runtime\":\"python3.11\",\"pid\":2}"u8);
    private static readonly byte[] InitOk = Frame(0x82, []);
    private readonly byte[] _result = Frame(0x85, "0123456789abcdef{\"ok\":true}"u8);
    private byte[] _next = Ready;
    private int _left = Ready.Length;
    private byte[] _header = [];

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        Take(buffer.Span);
        return ValueTask.CompletedTask;
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var count = Math.Min(_left, buffer.Length);
        _next.AsMemory(_next.Length - _left, count).CopyTo(buffer);
        _left -= count;
        return ValueTask.FromResult(count);
    }

    public override Task FlushAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    public override void Flush() { }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();

    /// <summary>A frame begins a write; its payload may come in a write of its own.</summary>
    private void Take(ReadOnlySpan<byte> bytes)
    {
        if (_header.Length == 0)
        {
            _header = bytes[..8].ToArray();
        }
        var length = BinaryPrimitives.ReadInt32LittleEndian(_header.AsSpan(4));
        if (_header[1] == 0x02 && bytes.Length >= 24 && bytes[0] == 1 && bytes[1] == 0x02)
        {
            bytes.Slice(8, 16).CopyTo(_result.AsSpan(8));
        }
        _received += bytes.Length;
        if (_received == 8 + length)
        {
            _next = _header[1] == 0x01 ? InitOk : _result;
            _left = _next.Length;
            _received = 0;
            _header = [];
        }
    }

    private int _received;

    private static byte[] Frame(byte kind, ReadOnlySpan<byte> body)
    {
        var frame = new byte[8 + body.Length];
        frame[0] = 1;
        frame[1] = kind;
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(4), body.Length);
        body.CopyTo(frame.AsSpan(8));
        return frame;
    }
}
