using Flint.Contracts;
using Flint.Contracts.Functions;
using Flint.Data;
using Flint.Data.Catalog;
using Flint.Data.Model;
using Flint.Runtime.Invocation;
using Flint.Runtime.Pooling;
using Microsoft.EntityFrameworkCore;

namespace Flint.Server.Services;

/// <summary>Functions: validation and one transaction per change; the catalog's cache is told after the commit. Thread-safe.</summary>
internal sealed class FunctionService(
    ICatalogStore store, PackageService packages, FunctionRules rules, FunctionCatalog catalog, SandboxPools pools, TimeProvider time)
{
    public async Task<FunctionView> CreateAsync(string tenantId, CreateFunctionRequest request, CancellationToken cancellationToken)
    {
        var function = rules.Create(request, tenantId, Guid.CreateVersion7(time.Now()).ToString("d"), time.Now());
        var zip = packages.FromSource(request.Code, function.Runtime, function.Handler);
        await RefuseTakenAsync(tenantId, function.Name, cancellationToken).ConfigureAwait(false);
        (function.CodeSha256, function.CodeSizeBytes) = await packages.StoreAsync(tenantId, zip, "code", cancellationToken).ConfigureAwait(false);
        try
        {
            await store.WriteAsync((db, token) =>
            {
                db.Functions.Add(function);
                return db.SaveChangesAsync(token);
            }, cancellationToken).ConfigureAwait(false);
        }
        catch (UniqueKeyException)
        {
            throw Taken();
        }

        catalog.Invalidate(tenantId, function.Name);
        return Views.Of(function);
    }

    public Task<Page<FunctionView>> ListAsync(string tenantId, string? search, PageRequest page, CancellationToken cancellationToken)
    {
        if (search is not null && search.Contains('\0'))
        {
            throw new RefusedException("invalid_field", "search has a NUL character, which no name or description has.", field: "search");
        }

        return store.ReadAsync(async (db, token) =>
        {
            var query = db.Functions.Where(f => f.TenantId == tenantId);
            if (page.After is { } after)
            {
                query = query.Where(f => string.Compare(f.Name, after) > 0);
            }

            if (!string.IsNullOrEmpty(search))
            {
                var wanted = search.ToLowerInvariant();
                query = query.Where(f => f.Name.ToLower().Contains(wanted) || f.Description.ToLower().Contains(wanted));
            }

            var rows = await query.OrderBy(f => f.Name).Take(page.Limit + 1).ToListAsync(token);
            return page.Cut(rows, Views.Of, f => f.Name);
        }, cancellationToken);
    }

    public Task<FunctionView> GetAsync(string tenantId, string name, string? qualifier, CancellationToken cancellationToken) =>
        store.ReadAsync(async (db, token) =>
        {
            var function = await FindAsync(db, tenantId, name, token);
            return await FindVersionAsync(db, function, qualifier, token) is { } version ? Views.Of(function, version) : Views.Of(function);
        }, cancellationToken);

    public async Task<FunctionView> UpdateAsync(
        string tenantId, string name, UpdateFunctionRequest request, string? ifMatch, CancellationToken cancellationToken)
    {
        return await ChangeAsync(tenantId, name, request.RevisionId ?? ifMatch, function => rules.Update(function, request), cancellationToken)
            .ConfigureAwait(false);
    }

    /// <summary>Replaces the code; <paramref name="make"/> makes the zip from the function as it is, since an inline file's name comes from its handler.</summary>
    public async Task<FunctionView> UpdateCodeAsync(
        string tenantId, string name, string? revisionId, Func<FunctionView, byte[]> make, string field, CancellationToken cancellationToken)
    {
        var current = await GetAsync(tenantId, name, null, cancellationToken).ConfigureAwait(false);
        Revisions.Check(revisionId, current.RevisionId);
        var (sha256, size) = await packages.StoreAsync(tenantId, make(current), field, cancellationToken).ConfigureAwait(false);
        return await ChangeAsync(tenantId, name, revisionId, function =>
        {
            function.CodeSha256 = sha256;
            function.CodeSizeBytes = size;
        }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Deletes the function with its versions and aliases, or one version. History stays.</summary>
    public async Task DeleteAsync(string tenantId, string name, string? qualifier, CancellationToken cancellationToken)
    {
        var functionId = await store.WriteAsync(async (db, token) =>
        {
            var function = await FindAsync(db, tenantId, name, token);
            if (qualifier is not null and not Names.Latest)
            {
                if (!Names.IsVersion(qualifier))
                {
                    throw new RefusedException("invalid_qualifier", "Only a version can be deleted by itself; name its number.", field: "qualifier");
                }

                await VersionService.RemoveAsync(db, function, int.Parse(qualifier, System.Globalization.CultureInfo.InvariantCulture), token);
                return function.Id;
            }

            await db.Aliases.Where(a => a.TenantId == tenantId && a.FunctionId == function.Id).ExecuteDeleteAsync(token);
            await db.FunctionVersions.Where(v => v.TenantId == tenantId && v.FunctionId == function.Id).ExecuteDeleteAsync(token);
            await db.Functions.Where(f => f.TenantId == tenantId && f.Id == function.Id).ExecuteDeleteAsync(token);
            return function.Id;
        }, cancellationToken).ConfigureAwait(false);
        catalog.Invalidate(tenantId, name);
        if (qualifier is null or Names.Latest)
        {
            pools.RetireFunction(tenantId, functionId);
        }
        else
        {
            pools.RetireVersion(tenantId, functionId, qualifier);
        }
    }

    /// <summary>The function, tracked when the context tracks. Throws <see cref="RefusedException"/> (404).</summary>
    public static async Task<FunctionEntity> FindAsync(FlintDbContext db, string tenantId, string name, CancellationToken cancellationToken) =>
        await db.Functions.AsTracking().SingleOrDefaultAsync(f => f.TenantId == tenantId && f.Name == name, cancellationToken).ConfigureAwait(false)
            ?? throw new RefusedException("function_not_found", "There is no function of this name.", field: "name");

    /// <summary>The version that the qualifier names; null for <c>$LATEST</c>. Throws <see cref="RefusedException"/> (404).</summary>
    public static async Task<FunctionVersionEntity?> FindVersionAsync(
        FlintDbContext db, FunctionEntity function, string? qualifier, CancellationToken cancellationToken)
    {
        if (qualifier is null or Names.Latest)
        {
            return null;
        }

        Names.CheckQualifier(qualifier);
        var number = Names.IsVersion(qualifier)
            ? int.Parse(qualifier, System.Globalization.CultureInfo.InvariantCulture)
            : await db.Aliases.Where(a => a.TenantId == function.TenantId && a.FunctionId == function.Id && a.Name == qualifier)
                .Select(a => (int?)a.VersionNumber).SingleOrDefaultAsync(cancellationToken).ConfigureAwait(false);
        return await db.FunctionVersions
            .SingleOrDefaultAsync(v => v.TenantId == function.TenantId && v.FunctionId == function.Id && v.Number == number, cancellationToken)
            .ConfigureAwait(false)
            ?? throw new RefusedException("qualifier_not_found", "The function has no such version or alias.", field: "qualifier");
    }

    private async Task<FunctionView> ChangeAsync(
        string tenantId, string name, string? revisionId, Action<FunctionEntity> change, CancellationToken cancellationToken)
    {
        try
        {
            var (view, key) = await store.WriteAsync(async (db, token) =>
            {
                var function = await FindAsync(db, tenantId, name, token);
                Revisions.Check(revisionId, function.RevisionId);
                change(function);
                function.RevisionId = Guid.NewGuid().ToString("d");
                function.UpdatedAt = time.Now();
                await db.SaveChangesAsync(token);
                return (Views.Of(function), new SpecKey(tenantId, function.Id, Names.Latest, function.RevisionId));
            }, cancellationToken).ConfigureAwait(false);
            catalog.Invalidate(tenantId, name);
            pools.RetireOthers(key);
            return view;
        }
        catch (DbUpdateConcurrencyException)
        {
            throw Revisions.Mismatch();
        }
    }

    /// <summary>Before the code is stored: a second create of the same name should cost nothing.</summary>
    private async Task RefuseTakenAsync(string tenantId, string name, CancellationToken cancellationToken)
    {
        if (await store.ReadAsync((db, token) => db.Functions.AnyAsync(f => f.TenantId == tenantId && f.Name == name, token), cancellationToken)
                .ConfigureAwait(false))
        {
            throw Taken();
        }
    }

    private static RefusedException Taken() => new("function_exists", "There is a function of this name already.", field: "name");
}
