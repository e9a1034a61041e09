using System.Globalization;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Services;

namespace Flint.Server.Queue.Jobs;

/// <summary>A list's filters and place as the query string has them.</summary>
internal sealed record JobFilter(string? Page, string? Limit, string? Status, string? Tag, string? From, string? To, string? Cursor);

/// <summary>A page of jobs.</summary>
/// <param name="Page">Null when a cursor asked for it.</param>
/// <param name="Total">To <see cref="JobLists.Counted"/> at most; null when a cursor asked for it.</param>
internal sealed record JobRows(IReadOnlyList<InvocationRow> Rows, int? Page, int Limit, int? Total, bool TotalIsExact, string? NextCursor);

/// <summary>Lists jobs, newest first, by page numbers near the beginning and by cursors anywhere. Thread-safe.</summary>
internal sealed class JobLists(IInvocationStore invocations, IQueueStore queue)
{
    public const int DefaultLimit = 10;
    public const int MaxLimit = 100;

    /// <summary>What a total counts to, and how deep page numbers reach: both cost what they pass over.</summary>
    public const int Counted = 100_000;

    public async Task<JobRows> ListAsync(string tenantId, JobFilter filter, CancellationToken cancellationToken)
    {
        var limit = Number("limit", filter.Limit, DefaultLimit, MaxLimit);
        var after = PageRequest.Parse(null, filter.Cursor).After;
        if (after is not null && !string.IsNullOrEmpty(filter.Page))
        {
            throw new RefusedException("invalid_field", "page and cursor cannot be given together.", field: "page");
        }

        if (after is not null && !InvocationHistory.IsId(after))
        {
            throw new RefusedException("invalid_field", "The cursor is not one that a page gave.", field: "cursor");
        }

        var page = Number("page", filter.Page, 1, int.MaxValue);
        var offset = (page - 1L) * limit;
        if (offset > Counted)
        {
            throw new RefusedException("out_of_range", $"Page numbers reach {Counted} jobs deep. Go further with cursor, which is nextCursor of the page before.",
                field: "page", limit: $"{Counted} jobs");
        }

        var query = new InvocationQuery
        {
            TenantId = tenantId,
            Mode = JobRules.Mode,
            Status = InvocationHistory.Status(filter.Status),
            Tag = Tag(filter.Tag),
            From = InvocationHistory.Time("from", filter.From),
            To = InvocationHistory.Time("to", filter.To),
            Limit = limit,
            Offset = (int)offset,
            BeforeId = after,
        };
        var found = await invocations.ListAsync(query, cancellationToken).ConfigureAwait(false);
        var next = found.HasMore && found.Rows.Count > 0 ? PageRequest.Encode(found.Rows[^1].Id) : null;
        if (after is not null)
        {
            return new JobRows(found.Rows, null, limit, null, false, next);
        }

        // A first page that is the last one has been counted already.
        var total = page == 1 && !found.HasMore ? found.Rows.Count : await queue.CountAsync(query, Counted + 1, cancellationToken).ConfigureAwait(false);
        return new JobRows(found.Rows, page, limit, Math.Min(total, Counted), total <= Counted, next);
    }

    private static int Number(string field, string? text, int whenMissing, int most)
    {
        if (string.IsNullOrEmpty(text))
        {
            return whenMissing;
        }

        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= 1 && value <= most
            ? value
            : throw new RefusedException("invalid_field", string.Create(CultureInfo.InvariantCulture, $"{field} must be 1 to {most}."), field: field,
                limit: string.Create(CultureInfo.InvariantCulture, $"1 to {most}"));
    }

    private static string? Tag(string? tag) => string.IsNullOrEmpty(tag)
        ? null
        : tag.Length <= JobRules.MaxTagLength && !tag.Contains('\0')
            ? tag
            : throw new RefusedException("invalid_field", $"A tag has at most {JobRules.MaxTagLength} characters, and no NUL.", field: "tag", limit: $"{JobRules.MaxTagLength} characters");
}
