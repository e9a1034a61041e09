using System.Buffers.Binary;
using System.Threading.Channels;
using Flint.Runtime.Guest;
using Flint.Runtime.Sandboxing;

namespace Flint.Guest.Tests;

/// <summary>
/// A sandbox whose guest is a script: bytes that are there from the start, and bytes that come when the worker has sent a frame. Reads return
/// at most <paramref name="chunk"/> bytes. When the script is over the stream ends, unless <paramref name="staysOpen"/>; with <paramref name="endsWhenSilent"/> it ends
/// whenever the worker would have to wait.
/// </summary>
internal sealed class ScriptedSandbox(int chunk = int.MaxValue, bool staysOpen = false, bool endsWhenSilent = false) : ISandbox
{
    private readonly ScriptedStream _stream = new(chunk, staysOpen, endsWhenSilent);
    private RawOutputHandler? _handler;
    private byte[] _rawPending = [];

    public string Id => "scripted";
    public Stream Channel => _stream;
    public Task<SandboxExit> Exited { get; } = new TaskCompletionSource<SandboxExit>().Task;
    public bool OutputAttached => _handler is not null;
    public bool DeadAtDrain { get; set; }

    /// <summary>All that the worker wrote, one entry for each write.</summary>
    public List<byte[]> Writes => _stream.Writes;

    /// <summary>Sent before the worker writes anything.</summary>
    public ScriptedSandbox First(params byte[][] frames)
    {
        _stream.Queue(frames);
        return this;
    }

    /// <summary>Sent when the worker has sent its next frame; the function gets an INVOKE's nonce (empty for INIT).</summary>
    public ScriptedSandbox Then(Func<byte[], byte[][]> frames)
    {
        _stream.Answers.Enqueue(frames);
        return this;
    }

    /// <summary>Raw output that was written before the next drain.</summary>
    public void WriteRaw(ReadOnlySpan<byte> bytes) => _rawPending = [.. _rawPending, .. bytes];

    public void AttachOutput(RawOutputHandler? handler) => _handler = handler;

    public ValueTask DrainOutputAsync(CancellationToken cancellationToken)
    {
        if (DeadAtDrain)
        {
            throw new EngineException("dead");
        }
        if (_rawPending.Length > 0)
        {
            _handler?.Invoke(LogStream.Stderr, _rawPending);
            _rawPending = [];
        }
        return ValueTask.CompletedTask;
    }

    public ValueTask FreezeAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
    public ValueTask ThawAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;
    public void ResetPeakMemory()
    {
    }
    public long? ReadPeakMemory() => null;
    public Task DestroyAsync() => Task.CompletedTask;
}

/// <summary>Frames of a guest, built by hand so that a mistake in the worker's own code cannot hide.</summary>
internal static class GuestFrames
{
    public static readonly byte[] Ready = Make(0x81, """{"protocol":1,"runtime":"python3.11","pid":2}"""u8.ToArray());
    public static readonly byte[] InitOk = Make(0x82, []);

    public static byte[] Log(byte stream, ReadOnlySpan<byte> text) => Make(0x84, [stream, .. text]);

    public static byte[] Result(byte[] nonce, ReadOnlySpan<byte> json) => Make(0x85, [.. nonce, .. json]);

    public static byte[] Error(byte[] nonce, ReadOnlySpan<byte> json) => Make(0x86, [.. nonce, .. json]);

    public static byte[] Make(byte kind, byte[] body, uint? length = null)
    {
        byte[] frame = new byte[8 + body.Length];
        frame[0] = 1;
        frame[1] = kind;
        BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(4), length ?? (uint)body.Length);
        body.CopyTo(frame, 8);
        return frame;
    }
}

/// <summary>The worker's end of a scripted channel.</summary>
internal sealed class ScriptedStream(int chunk, bool staysOpen, bool endsWhenSilent = false) : Stream
{
    private readonly Channel<byte[]> _bytes = System.Threading.Channels.Channel.CreateUnbounded<byte[]>();
    private byte[] _current = [];
    private int _position;

    public Queue<Func<byte[], byte[][]>> Answers { get; } = new();
    public List<byte[]> Writes { get; } = [];

    public void Queue(byte[][] frames)
    {
        foreach (byte[] frame in frames)
        {
            _bytes.Writer.TryWrite(frame);
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        while (_position == _current.Length)
        {
            if (!_bytes.Reader.TryRead(out byte[]? next))
            {
                if (endsWhenSilent || (Answers.Count == 0 && !staysOpen))
                {
                    return 0;
                }
                next = await _bytes.Reader.ReadAsync(cancellationToken);
            }
            (_current, _position) = (next, 0);
        }
        int count = Math.Min(Math.Min(buffer.Length, chunk), _current.Length - _position);
        _current.AsSpan(_position, count).CopyTo(buffer.Span);
        _position += count;
        return count;
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        byte[] bytes = buffer.ToArray();
        Writes.Add(bytes);
        if (bytes.Length > 8 && bytes[0] == 1 && bytes[1] is 1 or 2 && Answers.TryDequeue(out Func<byte[], byte[][]>? answer))
        {
            Queue(answer(bytes[1] == 2 ? bytes[8..24] : []));
        }
        return ValueTask.CompletedTask;
    }

    public override bool CanRead => true;
    public override bool CanWrite => true;
    public override bool CanSeek => false;
    public override long Length => throw new NotSupportedException();
    public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }
    public override void Flush()
    {
    }
    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();
    public override void SetLength(long value) => throw new NotSupportedException();
}
