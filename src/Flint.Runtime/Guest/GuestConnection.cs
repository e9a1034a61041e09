using System.Runtime.CompilerServices;
using System.Text.Json;
using Flint.Runtime.Invocation;
using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Guest;

/// <summary>
/// The worker's end of one guest protocol stream (guest/PROTOCOL.md). One call at a time. After any exception, and whenever
/// <see cref="IsUsable"/> is false, the sandbox must be destroyed. Bytes that the guest writes raw are taken only during a call.
/// </summary>
public sealed class GuestConnection
{
    /// <summary>Checking a larger result is long work for a thread that others wait for.</summary>
    private const int LargeResult = 64 * 1024;

    private readonly ISandbox _sandbox;
    private readonly GuestLimits _limits;
    private readonly FrameReader _reader;
    private readonly FrameWriter _writer;
    private readonly RawOutputHandler _onRawOutput;
    private volatile InvocationLog? _log;

    public GuestConnection(ISandbox sandbox, GuestLimits limits)
    {
        _sandbox = sandbox;
        _limits = limits;
        _reader = new FrameReader(sandbox.Channel, limits);
        _writer = new FrameWriter(sandbox.Channel);
        _onRawOutput = (stream, bytes) => _log?.AddRaw(stream, bytes);
    }

    /// <summary>For a process whose handler is loaded already: a snapshot's fork, which takes one event.</summary>
    public static GuestConnection AfterInit(ISandbox sandbox, GuestLimits limits) => new(sandbox, limits) { IsUsable = true };

    /// <summary>
    /// Reads that found bytes at once before the thread is left to others: a guest that never stops writing must not keep one that serves more than it,
    /// as those do that wait for sockets.
    /// </summary>
    internal int ReadsInARow { get; init; } = 16;

    /// <summary>False until the handler is loaded, and for ever after anything that ends the sandbox: no further invocation may be sent.</summary>
    public bool IsUsable { get; private set; }

    /// <summary>
    /// Waits for READY, sends INIT, waits for INIT_OK. Null when the handler is loaded, else the guest's error.
    /// Throws <see cref="GuestProtocolException"/> or <see cref="GuestClosedException"/>.
    /// </summary>
    /// <param name="init">What the guest is told.</param>
    /// <param name="log">Takes what it prints.</param>
    /// <param name="cancellationToken">Ends the wait; the sandbox must be destroyed then.</param>
    /// <param name="onReady">Called once, at READY.</param>
    public async Task<InvocationError?> InitAsync(
        GuestInit init, InvocationLog log, CancellationToken cancellationToken, Action? onReady = null)
    {
        BeginCall(log);
        try
        {
            Frame ready = await NextAsync(FrameKinds.Ready, log, cancellationToken).ConfigureAwait(false);
            CheckReady(ready.Body);
            onReady?.Invoke();
            await _writer.WriteInitAsync(init, _limits.MaxResultBytes, cancellationToken).ConfigureAwait(false);
            Frame answer = await NextAsync(FrameKinds.WhileInit, log, cancellationToken).ConfigureAwait(false);
            InvocationError? error = answer.Kind == FrameKind.InitOk ? null : GuestErrors.Parse(answer.Body, out _);
            if (error is null && _reader.HasIllegalRest)
            {
                throw new GuestProtocolException("the guest sent more than its INIT_OK before it was asked");
            }
            IsUsable = error is null;
            return error;
        }
        finally
        {
            await EndCallAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Sends one INVOKE and waits for its one answer; log frames and raw output go to <paramref name="log"/>, both drained when this returns.
    /// The result is the caller's. Throws as <see cref="InitAsync"/> does.
    /// </summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<GuestReply> InvokeAsync(GuestInvoke invoke, InvocationLog log, CancellationToken cancellationToken)
    {
        if (!IsUsable)
        {
            throw new InvalidOperationException("the guest cannot take another invocation; its sandbox must be destroyed");
        }
        IsUsable = false;
        BeginCall(log);
        try
        {
            await _writer.WriteInvokeAsync(invoke, cancellationToken).ConfigureAwait(false);
            Frame answer = await NextAsync(FrameKinds.WhileInvoking, log, cancellationToken).ConfigureAwait(false);
            if (answer.Body.Length > LargeResult)
            {
                await ToThreadPool();
            }
            GuestReply reply = ReadAnswer(answer, out bool usable);
            IsUsable = usable && !_reader.HasIllegalRest;
            return reply;
        }
        finally
        {
            await EndCallAsync().ConfigureAwait(false);
        }
    }

    private void BeginCall(InvocationLog log)
    {
        _log = log;
        _reader.Begin();
        _sandbox.AttachOutput(_onRawOutput);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask EndCallAsync()
    {
        try
        {
            // Also after a failure: what a dying guest wrote to stderr says why it died. Not cancellable: it waits for no one.
            await _sandbox.DrainOutputAsync(CancellationToken.None).ConfigureAwait(false);
            _sandbox.AttachOutput(null);
        }
        catch (EngineException)
        {
            // The sandbox is gone already; the answer, or the failure that is on its way up, stands.
            IsUsable = false;
        }
        finally
        {
            _log = null;
            _reader.End();
        }
    }

    /// <summary>The next frame that is no LOG; those go to the log as they come.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<Frame> NextAsync(FrameKinds legal, InvocationLog log, CancellationToken cancellationToken)
    {
        for (int ready = 0; ;)
        {
            while (_reader.TryRead(legal, out Frame frame))
            {
                if (frame.Kind != FrameKind.Log)
                {
                    return frame;
                }
                AddEvent(log, frame.Body.Span);
            }
            ValueTask fill = _reader.FillAsync(cancellationToken);
            ready = fill.IsCompleted ? ready + 1 : 0;
            await fill.ConfigureAwait(false);
            if (ready == ReadsInARow)
            {
                ready = 0;
                await ToThreadPool();
            }
        }
    }

    private static ConfiguredTaskAwaitable ToThreadPool() => Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);

    private static void AddEvent(InvocationLog log, ReadOnlySpan<byte> body)
    {
        LogStream stream = (LogStream)body[0];
        if (stream is not (LogStream.Stdout or LogStream.Stderr))
        {
            throw new GuestProtocolException($"a LOG frame names stream {body[0]}");
        }
        log.AddEvent(stream, body[1..]);
    }

    private GuestReply ReadAnswer(Frame answer, out bool usable)
    {
        usable = false;
        if (answer.Oversized)
        {
            return new GuestReply(default, new InvocationError(FaultType.ResponseTooLarge, "Function.ResponseSizeTooLarge",
                $"Response payload size exceeded maximum allowed payload size ({_limits.MaxResultBytes} bytes).", []));
        }
        if (!answer.Body.Span[..FrameHeader.NonceSize].SequenceEqual(_writer.Nonce))
        {
            throw new GuestProtocolException($"frame {answer.Kind} answers another invocation");
        }
        ReadOnlyMemory<byte> body = answer.Body[FrameHeader.NonceSize..];
        if (answer.Kind == FrameKind.Error)
        {
            InvocationError error = GuestErrors.Parse(body, out bool ends);
            usable = !ends;
            return new GuestReply(default, error);
        }
        usable = true;
        return JsonCheck.Fault(body.Span, _limits.MaxJsonDepth) is string fault
            ? new GuestReply(default, new InvocationError(
                FaultType.InvalidResponse, "Runtime.MarshalError", $"The result cannot be returned: {fault}.", []))
            : new GuestReply(answer.Owned ? body : body.ToArray(), null);
    }

    private static void CheckReady(ReadOnlyMemory<byte> body)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(body, new JsonDocumentOptions { MaxDepth = 4 });
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("protocol"u8, out JsonElement protocol)
                || protocol.ValueKind != JsonValueKind.Number || !protocol.TryGetInt32(out int version) || version != 1)
            {
                throw new GuestProtocolException("the guest's READY does not speak protocol 1");
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // The latter: a member's name with half a surrogate pair.
            throw new GuestProtocolException("the guest's READY is not JSON");
        }
    }
}
