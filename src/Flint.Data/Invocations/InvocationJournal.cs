namespace Flint.Data.Invocations;

/// <summary>
/// Where the server records finished sync invocations: batches them within 50 ms into the store, makes them visible to this server's
/// reads at once, and makes callers wait when its bounded buffer is full.
/// </summary>
public sealed class InvocationJournal(IInvocationStore store) : IAsyncDisposable
{
    /// <summary>Completes when the row is buffered, or, when <paramref name="strict"/>, committed.</summary>
    public ValueTask RecordAsync(InvocationRow row, bool strict, CancellationToken cancellationToken) => throw new NotImplementedException();

    public Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken) =>
        store.GetAsync(tenantId, id, cancellationToken);

    public Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken) =>
        store.ListAsync(query, cancellationToken);

    /// <summary>Commits all that is buffered.</summary>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
