namespace Flint.Server.Queue;

/// <summary>What happens in the queue, for whoever waits for it in this process. Handlers must be short and not throw. Thread-safe.</summary>
internal sealed class QueueNotices
{
    /// <summary>Something may have become claimable.</summary>
    public event Action? Work;

    /// <summary>Invocations with these ids are finished.</summary>
    public event Action<IReadOnlyList<string>>? Ended;

    /// <summary>This invocation (tenant, id) was cancelled; what runs it must be killed.</summary>
    public event Action<string, string>? Cancelled;

    public void Enqueued() => Work?.Invoke();

    public void Finished(IReadOnlyList<string> ids) => Ended?.Invoke(ids);

    /// <param name="workerId">Who runs it; empty when it waited.</param>
    public void Cancel(string workerId, string tenantId, string id) => Cancelled?.Invoke(tenantId, id);
}
