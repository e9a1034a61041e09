namespace Flint.Data.Invocations;

/// <summary>What every store and the journal hold rows and queries to.</summary>
internal static class InvocationRules
{
    private const int MaxOffset = 100_000;

    private static readonly string[] Modes = ["sync", "async", "job", "delivery"];
    private static readonly string[] Statuses = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"];

    /// <summary>
    /// The row as it is stored: text that a database refuses (NUL, half a surrogate pair) is replaced by U+FFFD, for a record is never refused over its text.
    /// Throws <see cref="ArgumentException"/> for an id that is no UUID or an unknown status.
    /// </summary>
    public static InvocationRow Storable(InvocationRow row)
    {
        InvocationId.Parse(row.Id, nameof(row.Id));
        CheckStatus(row.Status);
        return IsClean(row) ? row : row with
        {
            TenantId = StorableText.Clean(row.TenantId)!,
            FunctionId = StorableText.Clean(row.FunctionId)!,
            FunctionName = StorableText.Clean(row.FunctionName)!,
            Version = StorableText.Clean(row.Version)!,
            Qualifier = StorableText.Clean(row.Qualifier),
            Mode = StorableText.Clean(row.Mode)!,
            ErrorType = StorableText.Clean(row.ErrorType),
            ErrorJson = StorableText.Clean(row.ErrorJson),
            Engine = StorableText.Clean(row.Engine),
            SandboxId = StorableText.Clean(row.SandboxId),
            Unenforced = StorableText.Clean(row.Unenforced),
            StartMode = StorableText.Clean(row.StartMode),
            StartReason = StorableText.Clean(row.StartReason),
        };
    }

    /// <summary>
    /// The query as rows are stored, its texts cleaned alike. Throws <see cref="ArgumentException"/> for a limit or an offset out of range, an unknown status or
    /// mode, or a cursor that is no id.
    /// </summary>
    public static InvocationQuery Storable(InvocationQuery query)
    {
        if (query.Limit is < 1 or > 1000)
        {
            throw new ArgumentException($"Limit is {query.Limit}; it must be 1 to 1000.", nameof(query));
        }

        if (query.Offset is < 0 or > MaxOffset)
        {
            throw new ArgumentException($"Offset is {query.Offset}; it must be 0 to {MaxOffset}.", nameof(query));
        }

        if (query.Status is not null)
        {
            CheckStatus(query.Status);
        }

        if (query.Mode is not null && !Modes.AsSpan().Contains(query.Mode))
        {
            throw new ArgumentException("Mode must be sync, async, job or delivery.", nameof(query));
        }

        if (query.BeforeId is not null)
        {
            InvocationId.Parse(query.BeforeId, nameof(query.BeforeId));
        }

        return StorableText.Is(query.TenantId) && IsCleanOrNull(query.FunctionName) && IsCleanOrNull(query.Tag)
            ? query
            : query with
            {
                TenantId = StorableText.Clean(query.TenantId)!,
                FunctionName = StorableText.Clean(query.FunctionName),
                Tag = StorableText.Clean(query.Tag),
            };
    }

    /// <summary>What the stores' SQL asks of a row, for rows that are not there yet.</summary>
    public static bool Matches(InvocationQuery query, InvocationRow row)
    {
        var created = row.CreatedAt.ToUnixTimeMilliseconds();
        return row.TenantId == query.TenantId
            && (query.FunctionName is null || row.FunctionName == query.FunctionName)
            && (query.Status is null || row.Status == query.Status)
            && (query.ColdStart is null || row.ColdStart == query.ColdStart)
            && (query.Mode is null || row.Mode == query.Mode)
            && (query.Tag is null || row.Tags.Contains(query.Tag))
            && (query.BeforeId is null || string.CompareOrdinal(row.Id, query.BeforeId) < 0)
            && (query.From is null || created >= query.From.Value.ToUnixTimeMilliseconds())
            && (query.To is null || created < query.To.Value.ToUnixTimeMilliseconds());
    }

    /// <summary>The row as lists carry it.</summary>
    public static InvocationRow ForList(InvocationRow row) =>
        row with { Payload = null, Result = null, Log = null, ErrorJson = ErrorBrief.Of(row.ErrorJson) };

    /// <summary>What the row takes in the cold table, in bytes: what retention's limit counts.</summary>
    public static long DataBytes(InvocationRow row) => (row.Payload?.Length ?? 0L) + OutputBytes(row);

    /// <summary>The part of it that came of running.</summary>
    public static long OutputBytes(InvocationRow row) =>
        (row.Result?.Length ?? 0L) + (row.Log?.Length ?? 0) + (row.ErrorJson is { } error ? System.Text.Encoding.UTF8.GetByteCount(error) : 0);

    /// <summary>Cuts rows that were read one beyond the limit.</summary>
    public static InvocationPage Page(List<InvocationRow> rows, int limit)
    {
        var more = rows.Count > limit;
        if (more)
        {
            rows.RemoveRange(limit, rows.Count - limit);
        }

        return new InvocationPage(rows, more);
    }

    /// <summary>True when the row needs one in the cold table.</summary>
    public static bool HasData(InvocationRow row) => row.Payload is not null || HasOutput(row);

    /// <summary>True when something of that came of running.</summary>
    public static bool HasOutput(InvocationRow row) =>
        row.Result is not null || row.Log is not null || row.ErrorJson is not null || row.LogDroppedLines != 0 || row.LogDroppedBytes != 0;

    private static void CheckStatus(string status)
    {
        if (!Statuses.AsSpan().Contains(status))
        {
            throw new ArgumentException("Status must be PENDING, RUNNING, COMPLETED, FAILED or CANCELLED.", nameof(status));
        }
    }

    private static bool IsClean(InvocationRow row) =>
        StorableText.Is(row.TenantId) && StorableText.Is(row.FunctionId) && StorableText.Is(row.FunctionName) && StorableText.Is(row.Version)
        && StorableText.Is(row.Mode) && IsCleanOrNull(row.Qualifier) && IsCleanOrNull(row.ErrorType) && IsCleanOrNull(row.ErrorJson)
        && IsCleanOrNull(row.Engine) && IsCleanOrNull(row.SandboxId) && IsCleanOrNull(row.Unenforced)
        && IsCleanOrNull(row.StartMode) && IsCleanOrNull(row.StartReason);

    private static bool IsCleanOrNull(string? text) => text is null || StorableText.Is(text);
}
