using Flint.Runtime.Sandboxing;

namespace Flint.Runtime.Guest;

/// <summary>
/// The worker's end of one guest protocol stream (guest/PROTOCOL.md). One call at a time. After any exception the sandbox must be destroyed.
/// </summary>
public sealed class GuestConnection(ISandbox sandbox, GuestLimits limits)
{
    /// <summary>
    /// Waits for READY, sends INIT, waits for INIT_OK. Null when the handler is loaded, else the guest's error.
    /// Throws <see cref="GuestProtocolException"/> or <see cref="GuestClosedException"/>.
    /// </summary>
    public Task<Invocation.InvocationError?> InitAsync(GuestInit init, InvocationLog log, CancellationToken cancellationToken) =>
        throw new NotImplementedException($"{sandbox} {limits}");

    /// <summary>
    /// Sends one INVOKE and waits for its one answer; log frames and raw output go to <paramref name="log"/>, both drained when this returns.
    /// The result is the caller's. Throws as <see cref="InitAsync"/> does.
    /// </summary>
    public ValueTask<GuestReply> InvokeAsync(GuestInvoke invoke, InvocationLog log, CancellationToken cancellationToken) =>
        throw new NotImplementedException();
}
