using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using Flint.Runtime.Invocation;

namespace Flint.Runtime.Guest;

/// <summary>Writes the worker's two frames, each with one write while it is small. Not thread-safe.</summary>
internal sealed class FrameWriter(Stream stream)
{
    private const int MaxInitBytes = 64 * 1024;
    /// <summary>A payload above this is written by itself, which a copy of it would cost more than.</summary>
    private const int CopiedPayload = 64 * 1024;
    private const int NoncesAtOnce = 16;
    private const int MetaOffset = FrameHeader.Size + FrameHeader.NonceSize + sizeof(uint);

    /// <summary>Random bytes for several nonces, since the generator's price is per call; each is used once.</summary>
    private readonly byte[] _random = new byte[NoncesAtOnce * FrameHeader.NonceSize];
    private int _nonceAt = NoncesAtOnce * FrameHeader.NonceSize;
    private readonly GrowingBuffer _frame = new();
    private readonly Utf8JsonWriter _json = new(Stream.Null, new JsonWriterOptions { SkipValidation = true });

    /// <summary>The nonce of the last INVOKE.</summary>
    public ReadOnlySpan<byte> Nonce => _random.AsSpan(_nonceAt - FrameHeader.NonceSize, FrameHeader.NonceSize);

    public async ValueTask WriteInitAsync(GuestInit init, int maxResultBytes, CancellationToken cancellationToken)
    {
        _frame.Begin(FrameHeader.Size);
        try
        {
            WriteInitJson(init, maxResultBytes);
            int length = _frame.Length - FrameHeader.Size;
            if (length > MaxInitBytes)
            {
                throw new ArgumentException($"the INIT frame of function {init.FunctionName} has {length} bytes, the limit is {MaxInitBytes}");
            }
            FrameHeader.Write(_frame.Written.Span, FrameKind.Init, length);
            await SendAsync(_frame.Written, default, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _frame.End();
        }
    }

    public async ValueTask WriteInvokeAsync(GuestInvoke invoke, CancellationToken cancellationToken)
    {
        _frame.Begin(MetaOffset);
        try
        {
            bool copied = invoke.Payload.Length <= CopiedPayload;
            WriteInvokeHead(invoke);
            if (copied)
            {
                _frame.Write(invoke.Payload.Span);
            }
            await SendAsync(_frame.Written, copied ? default : invoke.Payload, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _frame.End();
        }
    }

    private void WriteInvokeHead(in GuestInvoke invoke)
    {
        _json.Reset(_frame);
        _json.WriteStartObject();
        _json.WriteString("requestId"u8, invoke.RequestId);
        _json.WriteNumber("deadlineMs"u8, invoke.Deadline.ToUnixTimeMilliseconds());
        _json.WritePropertyName("clientContext"u8);
        if (invoke.ClientContext is null)
        {
            _json.WriteNullValue();
        }
        else
        {
            _json.WriteRawValue(invoke.ClientContext);
        }
        _json.WriteString("traceId"u8, invoke.TraceId);
        _json.WriteEndObject();
        _json.Flush();

        TakeNonce();
        Span<byte> head = _frame.Written.Span;
        int metaLength = head.Length - MetaOffset;
        FrameHeader.Write(head, FrameKind.Invoke, head.Length - FrameHeader.Size + invoke.Payload.Length);
        Nonce.CopyTo(head[FrameHeader.Size..]);
        BinaryPrimitives.WriteUInt32LittleEndian(head[(FrameHeader.Size + FrameHeader.NonceSize)..], (uint)metaLength);
    }

    private void TakeNonce()
    {
        if (_nonceAt == _random.Length)
        {
            RandomNumberGenerator.Fill(_random);
            _nonceAt = 0;
        }
        _nonceAt += FrameHeader.NonceSize;
    }

    private void WriteInitJson(GuestInit init, int maxResultBytes)
    {
        _json.Reset(_frame);
        _json.WriteStartObject();
        _json.WriteString("handler"u8, init.Handler);
        _json.WriteString("taskRoot"u8, init.TaskRoot);
        _json.WriteString("functionName"u8, init.FunctionName);
        _json.WriteString("functionVersion"u8, init.FunctionVersion);
        _json.WriteString("invokedFunctionArn"u8, init.InvokedFunctionArn);
        _json.WriteNumber("memoryMb"u8, init.MemoryMb);
        _json.WriteNumber("maxResultBytes"u8, maxResultBytes);
        _json.WritePropertyName("environment"u8);
        if (init.Environment is null)
        {
            _json.WriteNullValue();
        }
        else
        {
            _json.WriteStartObject();
            foreach ((string name, string value) in init.Environment)
            {
                _json.WriteString(name, value);
            }
            _json.WriteEndObject();
        }
        _json.WriteBoolean("snapshot"u8, init.Snapshot);
        _json.WriteString("call"u8, init.Call == GuestCall.Main ? "main"u8 : "handler"u8);
        _json.WriteString("globals"u8, init.Globals == GuestGlobals.Limited ? "limited"u8 : "full"u8);
        _json.WriteEndObject();
        _json.Flush();
    }

    private async ValueTask SendAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> rest, CancellationToken cancellationToken)
    {
        try
        {
            await stream.WriteAsync(head, cancellationToken).ConfigureAwait(false);
            if (!rest.IsEmpty)
            {
                await stream.WriteAsync(rest, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            throw new GuestClosedException("the guest's channel broke", e);
        }
    }
}
