namespace Flint.Data.Invocations;

/// <summary>A page of what the store has and of rows that it does not have yet, or has only just got.</summary>
internal static class JournalMerge
{
    private const int StorePage = 1000;

    /// <param name="store">Asked for as much as the page can need.</param>
    /// <param name="query">Checked.</param>
    /// <param name="buffered">All buffered rows that the query finds, in any order.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public static async Task<InvocationPage> PageAsync(IInvocationStore store, InvocationQuery query, List<InvocationRow> buffered, CancellationToken cancellationToken)
    {
        // As many stored rows fewer are passed over as may be passed over among the buffered ones.
        var skip = Math.Max(0, query.Offset - buffered.Count);
        var stored = await ReadAsync(store, query, skip, query.Offset - skip + query.Limit + 1, cancellationToken);
        if (skip > 0 && stored.Count == 0)
        {
            return new InvocationPage([], false);
        }

        var passed = skip == 0 ? 0 : buffered.Count(row => string.CompareOrdinal(row.Id, stored[0].Id) > 0);
        var merged = stored
            .Concat(buffered.Where(row => skip == 0 || string.CompareOrdinal(row.Id, stored[0].Id) <= 0).Select(InvocationRules.ForList))
            .DistinctBy(row => row.Id)
            .OrderByDescending(row => row.Id, StringComparer.Ordinal)
            .Skip(query.Offset - skip - passed)
            .Take(query.Limit + 1)
            .ToList();
        return InvocationRules.Page(merged, query.Limit);
    }

    private static async Task<List<InvocationRow>> ReadAsync(IInvocationStore store, InvocationQuery query, int skip, int count, CancellationToken cancellationToken)
    {
        var rows = new List<InvocationRow>();
        InvocationPage page;
        do
        {
            var limit = Math.Min(StorePage, count - rows.Count);
            page = await store.ListAsync(query with { Offset = skip + rows.Count, Limit = limit }, cancellationToken);
            rows.AddRange(page.Rows);
        }
        while (page.HasMore && rows.Count < count);
        return rows;
    }
}
