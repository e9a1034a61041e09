using System.Globalization;
using Flint.Data.Invocations;

namespace Flint.Server.Services;

/// <summary>Reads what ran. Thread-safe.</summary>
internal sealed class InvocationHistory(InvocationJournal journal)
{
    private static readonly string[] Statuses = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"];

    public async Task<InvocationRow> GetAsync(string tenantId, string id, CancellationToken cancellationToken)
    {
        var row = IsId(id) ? await journal.GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false) : null;
        return row ?? throw new RefusedException("invocation_not_found", "There is no such invocation, or retention has removed it.", field: "id");
    }

    public async Task<(InvocationPage Page, string? NextCursor)> ListAsync(
        string tenantId, InvocationFilter filter, PageRequest page, CancellationToken cancellationToken)
    {
        if (page.After is { } after && !IsId(after))
        {
            throw new RefusedException("invalid_field", "The cursor is not one that a page gave.", field: "cursor");
        }

        var query = new InvocationQuery
        {
            TenantId = tenantId,
            FunctionName = string.IsNullOrEmpty(filter.Function) ? null : Names.CheckFunction(filter.Function),
            Status = Status(filter.Status),
            From = Time("from", filter.From),
            To = Time("to", filter.To),
            ColdStart = filter.Start switch
            {
                null or "" => null,
                "cold" => true,
                "warm" => false,
                _ => throw new RefusedException("invalid_field", "start must be cold or warm.", field: "start"),
            },
            Limit = page.Limit,
            BeforeId = page.After,
        };
        var found = await journal.ListAsync(query, cancellationToken).ConfigureAwait(false);
        return (found, found.HasMore && found.Rows.Count > 0 ? PageRequest.Encode(found.Rows[^1].Id) : null);
    }

    public static bool IsId(string text) => Guid.TryParseExact(text, "D", out _) && !text.AsSpan().ContainsAnyInRange('A', 'F');

    public static string? Status(string? status)
    {
        if (string.IsNullOrEmpty(status))
        {
            return null;
        }

        var upper = status.ToUpperInvariant();
        return Statuses.Contains(upper, StringComparer.Ordinal)
            ? upper
            : throw new RefusedException("invalid_field", $"status must be one of: {string.Join(", ", Statuses)}.", field: "status");
    }

    public static DateTimeOffset? Time(string field, string? text)
    {
        if (string.IsNullOrEmpty(text))
        {
            return null;
        }

        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var time)
            ? time
            : throw new RefusedException("invalid_field", $"{field} must be a time such as 2026-01-31T08:00:00Z.", field: field);
    }
}

/// <summary>A list's filters as the query string has them.</summary>
internal sealed record InvocationFilter(string? Function, string? Status, string? Start, string? From, string? To);
