using System.Globalization;
using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Data;
using Flint.Data.Catalog;
using Flint.Data.Model;
using Flint.Runtime.Pooling;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Services;

/// <summary>Immutable numbered versions. Thread-safe.</summary>
internal sealed class VersionService(ICatalogStore store, FunctionCatalog catalog, SandboxPools pools, TimeProvider time)
{
    /// <summary>Two servers may publish at the same moment; the number's unique key lets one of them try again.</summary>
    private const int Attempts = 5;

    /// <summary>Freezes <c>$LATEST</c>. Where nothing but the description changed since the newest version, that version is the answer.</summary>
    public async Task<VersionView> PublishAsync(
        string tenantId, string name, PublishVersionRequest request, string? ifMatch, CancellationToken cancellationToken)
    {
        var description = request.Description is { } text ? FunctionRules.Description(text) : null;
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await store.WriteAsync((db, token) => PublishAsync(db, tenantId, name, request, description, ifMatch, token), cancellationToken)
                    .ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is UniqueKeyException or DbUpdateConcurrencyException)
            {
                // Another publish took the number.
                if (attempt == Attempts)
                {
                    throw new RefusedException("publish_conflict",
                        $"Other publications of this function came first {Attempts} times in a row; nothing was published. Try again.", field: "name");
                }
            }
        }
    }

    private async Task<VersionView> PublishAsync(
        FlintDbContext db, string tenantId, string name, PublishVersionRequest request, string? description, string? ifMatch, CancellationToken token)
    {
        var function = await FunctionService.FindAsync(db, tenantId, name, token);
        Revisions.Check(request.RevisionId ?? ifMatch, function.RevisionId);
        if (request.CodeSha256 is { } expected && !expected.Equals(function.CodeSha256, StringComparison.OrdinalIgnoreCase))
        {
            throw new RefusedException("code_mismatch", "The code was changed since you saw this hash.", field: "codeSha256");
        }

        var newest = await db.FunctionVersions.Where(v => v.TenantId == tenantId && v.FunctionId == function.Id)
            .OrderByDescending(v => v.Number).FirstOrDefaultAsync(token);
        if (newest is not null && Same(function, newest))
        {
            return Views.Version(name, newest);
        }

        function.LastVersion++;
        var version = new FunctionVersionEntity
        {
            TenantId = tenantId,
            FunctionId = function.Id,
            Number = function.LastVersion,
            RevisionId = Guid.NewGuid().ToString("d"),
            CreatedAt = time.Now(),
            Runtime = function.Runtime,
            Handler = function.Handler,
            Description = description ?? function.Description,
            MemoryMb = function.MemoryMb,
            TimeoutMs = function.TimeoutMs,
            TmpMb = function.TmpMb,
            EnvironmentJson = function.EnvironmentJson,
            Freshness = function.Freshness,
            Start = function.Start,
            Network = function.Network,
            Engine = function.Engine,
            OnDisconnect = function.OnDisconnect,
            History = function.History,
            AsyncJson = function.AsyncJson,
            CodeSha256 = function.CodeSha256,
            CodeSizeBytes = function.CodeSizeBytes,
        };
        db.FunctionVersions.Add(version);
        await db.SaveChangesAsync(token);
        return Views.Version(name, version);
    }

    public Task<Page<VersionView>> ListAsync(string tenantId, string name, PageRequest page, CancellationToken cancellationToken) =>
        store.ReadAsync(async (db, token) =>
        {
            var function = await FunctionService.FindAsync(db, tenantId, name, token);
            var after = page.After is null ? 0 : int.TryParse(page.After, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;
            var rows = await db.FunctionVersions.Where(v => v.TenantId == tenantId && v.FunctionId == function.Id && v.Number > after)
                .OrderBy(v => v.Number).Take(page.Limit + 1).ToListAsync(token);
            return page.Cut(rows, v => Views.Version(name, v), v => v.Number.ToString(CultureInfo.InvariantCulture));
        }, cancellationToken);

    public async Task DeleteAsync(string tenantId, string name, string number, CancellationToken cancellationToken)
    {
        var functionId = await store.WriteAsync(async (db, token) =>
        {
            var function = await FunctionService.FindAsync(db, tenantId, name, token);
            await RemoveAsync(db, function, Number(number), token);
            return function.Id;
        }, cancellationToken).ConfigureAwait(false);
        catalog.Invalidate(tenantId, name);
        pools.RetireVersion(tenantId, functionId, number);
    }

    /// <summary>Removes one version within a caller's transaction; refuses while an alias points at it.</summary>
    public static async Task RemoveAsync(FlintDbContext db, FunctionEntity function, int number, CancellationToken cancellationToken)
    {
        var alias = await db.Aliases.Where(a => a.TenantId == function.TenantId && a.FunctionId == function.Id && a.VersionNumber == number)
            .Select(a => a.Name).FirstOrDefaultAsync(cancellationToken).ConfigureAwait(false);
        if (alias is not null)
        {
            throw new RefusedException("version_in_use", $"The alias {alias} points at this version.", field: "version");
        }

        var removed = await db.FunctionVersions
            .Where(v => v.TenantId == function.TenantId && v.FunctionId == function.Id && v.Number == number)
            .ExecuteDeleteAsync(cancellationToken).ConfigureAwait(false);
        if (removed == 0)
        {
            throw NotFound();
        }
    }

    public static int Number(string text) =>
        Names.IsVersion(text) ? int.Parse(text, CultureInfo.InvariantCulture) : throw NotFound();

    public static RefusedException NotFound() => new("version_not_found", "The function has no such version.", field: "version");

    private static bool Same(FunctionSettings a, FunctionSettings b) =>
        a.CodeSha256 == b.CodeSha256 && a.Runtime == b.Runtime && a.Handler == b.Handler && a.MemoryMb == b.MemoryMb && a.TimeoutMs == b.TimeoutMs
        && a.TmpMb == b.TmpMb && a.EnvironmentJson == b.EnvironmentJson && a.Freshness == b.Freshness && a.Start == b.Start && a.Network == b.Network && a.Engine == b.Engine
        && a.OnDisconnect == b.OnDisconnect && a.History == b.History && a.AsyncJson == b.AsyncJson;
}
