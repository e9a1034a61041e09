using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Data;
using Flint.Data.Catalog;
using Flint.Data.Model;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Services;

/// <summary>Names for versions; pointing one elsewhere is how one deploys and rolls back. Thread-safe.</summary>
internal sealed class AliasService(ICatalogStore store, FunctionCatalog catalog, TimeProvider time)
{
    public async Task<AliasView> CreateAsync(string tenantId, string function, CreateAliasRequest request, CancellationToken cancellationToken)
    {
        var name = Names.CheckAlias(request.Name);
        var number = request.Version ?? throw FunctionRules.Missing("version");
        var description = FunctionRules.Description(request.Description ?? "");
        try
        {
            var view = await store.WriteAsync(async (db, token) =>
            {
                var owner = await FunctionService.FindAsync(db, tenantId, function, token);
                await RequireVersionAsync(db, owner, number, token);
                var alias = new AliasEntity
                {
                    TenantId = tenantId,
                    FunctionId = owner.Id,
                    Name = name,
                    VersionNumber = number,
                    Description = description,
                    RevisionId = Guid.NewGuid().ToString("d"),
                    CreatedAt = time.Now(),
                    UpdatedAt = time.Now(),
                };
                db.Aliases.Add(alias);
                await db.SaveChangesAsync(token);
                return Views.Of(function, alias);
            }, cancellationToken).ConfigureAwait(false);
            catalog.Invalidate(tenantId, function);
            return view;
        }
        catch (UniqueKeyException)
        {
            throw new RefusedException("alias_exists", "The function has an alias of this name already.", field: "name");
        }
    }

    public Task<Page<AliasView>> ListAsync(string tenantId, string function, PageRequest page, CancellationToken cancellationToken) =>
        store.ReadAsync(async (db, token) =>
        {
            var owner = await FunctionService.FindAsync(db, tenantId, function, token);
            var query = db.Aliases.Where(a => a.TenantId == tenantId && a.FunctionId == owner.Id);
            if (page.After is { } after)
            {
                query = query.Where(a => string.Compare(a.Name, after) > 0);
            }

            var rows = await query.OrderBy(a => a.Name).Take(page.Limit + 1).ToListAsync(token);
            return page.Cut(rows, a => Views.Of(function, a), a => a.Name);
        }, cancellationToken);

    public Task<AliasView> GetAsync(string tenantId, string function, string name, CancellationToken cancellationToken) =>
        store.ReadAsync(async (db, token) =>
        {
            var owner = await FunctionService.FindAsync(db, tenantId, function, token);
            return Views.Of(function, await FindAsync(db, owner, name, token));
        }, cancellationToken);

    public async Task<AliasView> UpdateAsync(
        string tenantId, string function, string name, UpdateAliasRequest request, string? ifMatch, CancellationToken cancellationToken)
    {
        var description = request.Description is { } text ? FunctionRules.Description(text) : null;
        try
        {
            var view = await store.WriteAsync(async (db, token) =>
            {
                var owner = await FunctionService.FindAsync(db, tenantId, function, token);
                var alias = await FindAsync(db, owner, name, token);
                Revisions.Check(request.RevisionId ?? ifMatch, alias.RevisionId);
                if (request.Version is { } number)
                {
                    await RequireVersionAsync(db, owner, number, token);
                    alias.VersionNumber = number;
                }

                alias.Description = description ?? alias.Description;
                alias.RevisionId = Guid.NewGuid().ToString("d");
                alias.UpdatedAt = time.Now();
                await db.SaveChangesAsync(token);
                return Views.Of(function, alias);
            }, cancellationToken).ConfigureAwait(false);
            catalog.Invalidate(tenantId, function);
            return view;
        }
        catch (DbUpdateConcurrencyException)
        {
            throw Revisions.Mismatch();
        }
    }

    /// <summary>Deleting an alias that is not there succeeds, as in AWS Lambda.</summary>
    public async Task DeleteAsync(string tenantId, string function, string name, CancellationToken cancellationToken)
    {
        await store.WriteAsync(async (db, token) =>
        {
            var owner = await FunctionService.FindAsync(db, tenantId, function, token);
            return await db.Aliases.Where(a => a.TenantId == tenantId && a.FunctionId == owner.Id && a.Name == name).ExecuteDeleteAsync(token);
        }, cancellationToken).ConfigureAwait(false);
        catalog.Invalidate(tenantId, function);
    }

    private static async Task<AliasEntity> FindAsync(FlintDbContext db, FunctionEntity owner, string name, CancellationToken cancellationToken) =>
        await db.Aliases.AsTracking()
            .SingleOrDefaultAsync(a => a.TenantId == owner.TenantId && a.FunctionId == owner.Id && a.Name == name, cancellationToken).ConfigureAwait(false)
            ?? throw new RefusedException("alias_not_found", "The function has no such alias.", field: "alias");

    private static async Task RequireVersionAsync(FlintDbContext db, FunctionEntity owner, int number, CancellationToken cancellationToken)
    {
        if (!await db.FunctionVersions.AnyAsync(v => v.TenantId == owner.TenantId && v.FunctionId == owner.Id && v.Number == number, cancellationToken)
                .ConfigureAwait(false))
        {
            throw VersionService.NotFound();
        }
    }
}
