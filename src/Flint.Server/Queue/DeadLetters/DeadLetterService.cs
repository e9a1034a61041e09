using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Flint.Contracts;
using Flint.Contracts.DeadLetters;
using Flint.Contracts.Invocations;
using Flint.Data.Catalog;
using Flint.Data.Invocations;
using Flint.Data.Queue;
using Flint.Server.Queue.Functions;
using Flint.Server.Services;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Queue.DeadLetters;

/// <summary>Lists, shows, redrives and removes dead letters. Thread-safe.</summary>
internal sealed class DeadLetterService(
    ICatalogStore store, IQueueStore queue, QueueWriter writer, QueueRoom room, InvocationHistory history, FunctionCatalog functions, InvocationIds ids, TimeProvider time)
{
    /// <summary>Redriven by one request, unless it says less.</summary>
    public const int MaxRedriven = 1000;

    private const int DefaultRedriven = 100;

    /// <summary>Removed in one transaction.</summary>
    private const int PurgePage = 500;

    public async Task<DeadLetterListsView> ListsAsync(string tenantId, CancellationToken cancellationToken) => await store.ReadAsync(async (db, token) =>
    {
        var lists = await db.DeadLetters.Where(d => d.TenantId == tenantId).GroupBy(d => d.List)
            .Select(group => new { group.Key, Count = group.Count(), Oldest = group.Min(d => d.AddedAt) }).OrderBy(list => list.Key).ToListAsync(token);
        return new DeadLetterListsView([.. lists.Select(list => new DeadLetterListView(list.Key, list.Count, list.Oldest))]);
    }, cancellationToken).ConfigureAwait(false);

    /// <summary>Newest first. A list without entries is an empty page: lists come and go with their entries.</summary>
    public async Task<Page<DeadLetterView>> PageAsync(string tenantId, string list, PageRequest page, CancellationToken cancellationToken)
    {
        AsyncSettingsRules.CheckList(list, "list");
        var before = page.After is { } after ? Cursor(after) : (Guid?)null;
        return await store.ReadAsync(async (db, token) =>
        {
            var query = db.DeadLetters.Where(d => d.TenantId == tenantId && d.List == list);
            if (before is { } id)
            {
                query = query.Where(d => d.Id.CompareTo(id) < 0);
            }

            var rows = await query.OrderByDescending(d => d.Id).Take(page.Limit + 1).ToListAsync(token);
            return page.Cut(rows, d => new DeadLetterView(Text(d.Id), d.FunctionName, d.ErrorType, d.AddedAt), d => Text(d.Id));
        }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The record of an entry.</summary>
    public async Task<InvocationRow> GetAsync(string tenantId, string list, string id, CancellationToken cancellationToken)
    {
        await RequireAsync(tenantId, list, id, cancellationToken).ConfigureAwait(false);
        return await history.GetAsync(tenantId, id, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Queues the same work under a new id and removes the entry.</summary>
    public async Task<AcceptedInvocation> RedriveAsync(string tenantId, string list, string id, CancellationToken cancellationToken)
    {
        var letter = await RequireAsync(tenantId, list, id, cancellationToken).ConfigureAwait(false);
        var entry = await MakeAsync(tenantId, list, letter, cancellationToken).ConfigureAwait(false);
        await room.TakeAsync(tenantId, 1, cancellationToken).ConfigureAwait(false);
        var result = (await EnqueueAsync(tenantId, list, [(letter, entry)], cancellationToken).ConfigureAwait(false))[0];
        return AsyncInvocations.Accepted(entry.Row with { Id = result.Id });
    }

    /// <summary>The oldest entries first, a part of the list at a time.</summary>
    public async Task<RedriveAnswer> RedriveAllAsync(string tenantId, string list, string? limit, string? cursor, CancellationToken cancellationToken)
    {
        AsyncSettingsRules.CheckList(list, "list");
        var most = Limit(limit);
        var after = PageRequest.Parse(null, cursor).After is { } text ? Cursor(text) : Guid.Empty;
        var letters = await store.ReadAsync(
            (db, token) => db.DeadLetters.Where(d => d.TenantId == tenantId && d.List == list && d.Id.CompareTo(after) > 0).OrderBy(d => d.Id).Take(most).Select(d => d.Id).ToListAsync(token),
            cancellationToken).ConfigureAwait(false);
        var (redriven, skipped) = (0, 0);
        foreach (var batch in letters.Chunk(50))
        {
            var made = await MakeAsync(tenantId, list, batch, cancellationToken).ConfigureAwait(false);
            await room.TakeAsync(tenantId, made.Count, cancellationToken).ConfigureAwait(false);
            await EnqueueAsync(tenantId, list, made, cancellationToken).ConfigureAwait(false);
            redriven += made.Count;
            skipped += batch.Length - made.Count;
        }

        var last = letters.Count == 0 ? after : letters[^1];
        var remaining = await store.ReadAsync(
            (db, token) => db.DeadLetters.CountAsync(d => d.TenantId == tenantId && d.List == list && d.Id.CompareTo(last) > 0, token), cancellationToken).ConfigureAwait(false);
        return new RedriveAnswer(redriven, skipped, remaining, remaining == 0 ? null : PageRequest.Encode(Text(last)));
    }

    public async Task DeleteAsync(string tenantId, string list, string id, CancellationToken cancellationToken)
    {
        var letter = await RequireAsync(tenantId, list, id, cancellationToken).ConfigureAwait(false);
        await RemoveAsync(tenantId, list, [letter], cancellationToken).ConfigureAwait(false);
    }

    /// <summary>All entries that are there now.</summary>
    public async Task<PurgeAnswer> PurgeAsync(string tenantId, string list, CancellationToken cancellationToken)
    {
        AsyncSettingsRules.CheckList(list, "list");
        var (now, deleted, page) = (time.Now(), 0, 0);
        do
        {
            var found = await store.ReadAsync(
                (db, token) => db.DeadLetters.Where(d => d.TenantId == tenantId && d.List == list && d.AddedAt <= now).OrderBy(d => d.Id).Take(PurgePage).Select(d => d.Id).ToListAsync(token),
                cancellationToken).ConfigureAwait(false);
            page = found.Count;
            deleted += await RemoveAsync(tenantId, list, found, cancellationToken).ConfigureAwait(false);
        }
        while (page == PurgePage);
        return new PurgeAnswer(deleted);
    }

    private async Task<List<(Guid Letter, QueueEntry Entry)>> MakeAsync(string tenantId, string list, Guid[] letters, CancellationToken cancellationToken)
    {
        var made = new List<(Guid, QueueEntry)>(letters.Length);
        foreach (var letter in letters)
        {
            try
            {
                made.Add((letter, await MakeAsync(tenantId, list, letter, cancellationToken).ConfigureAwait(false)));
            }
            catch (RefusedException)
            {
                // It stays where it is; asking for it alone tells why.
            }
        }

        return made;
    }

    private async Task<QueueEntry> MakeAsync(string tenantId, string list, Guid letter, CancellationToken cancellationToken)
    {
        var id = Text(letter);
        var stored = await queue.WorkAsync(tenantId, id, cancellationToken).ConfigureAwait(false) ?? throw NotFound();
        var work = QueuedWork.Parse(stored.WorkJson);
        if (work.Function is not { } function || stored.Payload is not { } payload)
        {
            throw new RefusedException("not_redrivable", "History did not keep what it was invoked with, so it cannot be run again.", field: "id");
        }

        var now = time.GetUtcNow();
        var entry = await functions.ResolveAsync(tenantId, function.Name, function.Qualifier, cancellationToken).ConfigureAwait(false);
        // Within a day the same entry stands for the same run, whoever redrives it how often.
        var key = $"redrive:{list}:{id}";
        return FunctionEntries.Make(entry, function.Qualifier, ids.Next(now), now, payload, work.Depth) with
        {
            WorkJson = stored.WorkJson,
            Tags = [.. stored.Tags.Where(tag => !tag.StartsWith("redrive:", StringComparison.Ordinal)).Take(19), "redrive:" + id],
            IdempotencyKey = key,
            Fingerprint = SHA256.HashData(Encoding.UTF8.GetBytes(key)),
        };
    }

    /// <summary>First the new, then the old goes: a server that dies in between has redriven it, and the next redrive only removes the entry.</summary>
    private async Task<IReadOnlyList<EnqueueResult>> EnqueueAsync(string tenantId, string list, IReadOnlyList<(Guid Letter, QueueEntry Entry)> made, CancellationToken cancellationToken)
    {
        if (made.Count == 0)
        {
            return [];
        }

        var results = await writer.EnqueueAsync([.. made.Select(pair => pair.Entry)], cancellationToken).ConfigureAwait(false);
        await RemoveAsync(tenantId, list, [.. made.Select(pair => pair.Letter)], cancellationToken).ConfigureAwait(false);
        return results;
    }

    private Task<int> RemoveAsync(string tenantId, string list, IReadOnlyList<Guid> letters, CancellationToken cancellationToken) => store.WriteAsync(async (db, token) =>
    {
        var removed = 0;
        foreach (var letter in letters)
        {
            removed += await db.DeadLetters.Where(d => d.TenantId == tenantId && d.List == list && d.Id == letter).ExecuteDeleteAsync(token);
        }

        return removed;
    }, cancellationToken);

    private async Task<Guid> RequireAsync(string tenantId, string list, string id, CancellationToken cancellationToken)
    {
        AsyncSettingsRules.CheckList(list, "list");
        var letter = InvocationHistory.IsId(id) ? Guid.ParseExact(id, "D") : throw NotFound();
        return await store.ReadAsync((db, token) => db.DeadLetters.AnyAsync(d => d.TenantId == tenantId && d.List == list && d.Id == letter, token), cancellationToken).ConfigureAwait(false)
            ? letter
            : throw NotFound();
    }

    private static int Limit(string? limit)
    {
        var most = DefaultRedriven;
        return string.IsNullOrEmpty(limit) || (int.TryParse(limit, NumberStyles.None, CultureInfo.InvariantCulture, out most) && most is >= 1 and <= MaxRedriven)
            ? most
            : throw new RefusedException("invalid_field", $"limit must be 1 to {MaxRedriven}.", field: "limit", limit: $"1 to {MaxRedriven}");
    }

    private static Guid Cursor(string text) =>
        InvocationHistory.IsId(text) ? Guid.ParseExact(text, "D") : throw new RefusedException("invalid_field", "The cursor is not one that a page gave.", field: "cursor");

    private static string Text(Guid id) => id.ToString("D");

    private static RefusedException NotFound() => new("dead_letter_not_found", "The list has no such entry.", field: "id");
}
