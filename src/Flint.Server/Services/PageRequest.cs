using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Flint.Contracts;

namespace Flint.Server.Services;

/// <summary>Which page of a list is wanted. Cursors are opaque to clients: the last item's key, base64url.</summary>
/// <param name="Limit">1 to 1000; 50 when not given.</param>
/// <param name="After">The last key of the page before, exclusive; null for the first page.</param>
internal sealed record PageRequest(int Limit, string? After)
{
    public const int DefaultLimit = 50;
    public const int MaxLimit = 1000;

    public static PageRequest Parse(string? limit, string? cursor)
    {
        var count = DefaultLimit;
        if (!string.IsNullOrEmpty(limit)
            && (!int.TryParse(limit, NumberStyles.None, CultureInfo.InvariantCulture, out count) || count is < 1 or > MaxLimit))
        {
            throw new RefusedException("invalid_field", $"limit must be 1 to {MaxLimit}.", field: "limit", limit: $"1 to {MaxLimit}");
        }

        return new PageRequest(count, string.IsNullOrEmpty(cursor) ? null : Decode(cursor));
    }

    /// <summary>Makes a page of rows of which one more than the limit was asked for.</summary>
    public Page<TView> Cut<TRow, TView>(IReadOnlyList<TRow> rows, Func<TRow, TView> view, Func<TRow, string> key)
    {
        var more = rows.Count > Limit;
        var kept = more ? rows.Take(Limit).ToArray() : rows;
        return new Page<TView>([.. kept.Select(view)], more ? Encode(key(kept[^1])) : null);
    }

    public static string Encode(string key) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(key));

    private static string Decode(string cursor)
    {
        try
        {
            var key = cursor.Length <= 400 ? Encoding.UTF8.GetString(Base64Url.DecodeFromChars(cursor)) : throw new FormatException();
            return key.Contains('\0') ? throw new FormatException() : key;
        }
        catch (FormatException)
        {
            throw new RefusedException("invalid_field", "The cursor is not one that a page gave.", field: "cursor");
        }
    }
}
