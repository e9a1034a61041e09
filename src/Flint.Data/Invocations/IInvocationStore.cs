namespace Flint.Data.Invocations;

/// <summary>
/// Invocations in the database, by plain ADO on both providers. Wide on purpose and internal to Flint: the two implementations
/// pass one conformance suite. Thread-safe; every write is durable when its task completes.
/// </summary>
public interface IInvocationStore
{
    /// <summary>
    /// Inserts finished invocations in one transaction. An id that is there already is left alone (a retried batch is harmless). Throws
    /// <see cref="ArgumentException"/>, having written nothing, for an id that is no lower-case UUID or an unknown status.
    /// </summary>
    Task AppendAsync(IReadOnlyList<InvocationRow> rows, CancellationToken cancellationToken);

    /// <summary>One invocation with payload, result and log, or null.</summary>
    Task<InvocationRow?> GetAsync(string tenantId, string id, CancellationToken cancellationToken);

    /// <summary>
    /// A page, newest first. Throws <see cref="ArgumentException"/> for a limit outside 1 to 1000, an offset outside 0 to 100,000, an unknown status or mode,
    /// or a <c>BeforeId</c> that is no id: check what a caller sent first.
    /// </summary>
    Task<InvocationPage> ListAsync(InvocationQuery query, CancellationToken cancellationToken);

    /// <summary>
    /// Deletes at most <paramref name="pageSize"/> finished invocations that retention no longer keeps, oldest first, per tenant.
    /// Returns how many; a caller repeats until a page is short.
    /// </summary>
    Task<int> PruneAsync(Retention retention, DateTimeOffset now, int pageSize, CancellationToken cancellationToken);
}
